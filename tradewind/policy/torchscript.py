"""A bundle as a policy in the process that loads it: verified, warmed up, proved."""

from pathlib import Path
from typing import Self

from tradewind.bundle import BundleLimits, read_bundle
from tradewind.policy.bundle_policy import BundlePolicy
from tradewind.policy.declared import open_declared

__all__ = ["TorchScriptPolicy"]


class TorchScriptPolicy(BundlePolicy):
    """The policy of a bundle, loaded in this process.

    A declared network (format 2) is compiled, and policy.pt is not looked at. A bundle of format 1
    has TorchScript alone, which needs torch and runs with all that this process may do.
    """

    @classmethod
    def load_bundle(cls, path: Path | str, limits: BundleLimits | None = None) -> Self:
        """Verifies, loads and warms up a bundle, checks its golden answers, chooses its runtime.

        Args:
            path: `<store>/<policy>/<version>`.
            limits: Largest files accepted.

        Raises:
            BundleError: The bundle must not be used; `reason` and message name the cause.
            VersionNotFoundError: There is no such folder.
            StorageError: The file system failed; the bundle may be good.
        """
        bundle = read_bundle(path, limits)
        if bundle.metadata.graph is not None:
            return cls(bundle, open_declared(bundle), "")
        from tradewind.policy.runtime import choose_network, open_network

        torchscript = open_network(bundle)
        network, runtime_reason = choose_network(
            torchscript, bundle.metadata.obs_space, bundle.golden
        )
        return cls(bundle, network, runtime_reason)
