"""A bundle as a policy in the process that loads it: verified, warmed up, proved. Needs torch."""

from pathlib import Path
from typing import Self

from tradewind.bundle import BundleLimits, read_bundle
from tradewind.policy.bundle_policy import BundlePolicy
from tradewind.policy.runtime import choose_network, open_network

__all__ = ["TorchScriptPolicy"]


class TorchScriptPolicy(BundlePolicy):
    """The policy of a TorchScript bundle, loaded with torch in this process."""

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
        torchscript = open_network(bundle)
        network, runtime_reason = choose_network(
            torchscript, bundle.metadata.obs_space, bundle.golden
        )
        return cls(bundle, network, runtime_reason)
