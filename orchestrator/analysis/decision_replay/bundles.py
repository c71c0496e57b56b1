"""Bundles of a store, opened to be run again on what was observed."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.agents.contract import TradingContract, read_contract
from tradewind.bundle import BundleStore, DiscreteSpace, read_bundle
from tradewind.errors import BundleError, ConflictError, VersionNotFoundError
from tradewind.market.feature_group import KnownGroups
from tradewind.policy import Network, SealedNetwork, open_declared

__all__ = ["OpenBundle", "find_bundle", "open_bundle", "run_network"]

_CHUNK: Final = 8_192  # rows at once: they bound the memory of TorchScript's intermediates


@dataclass(frozen=True, slots=True, eq=False)
class OpenBundle:
    """A verified bundle with both of its runtimes.

    Attributes:
        name: `policy/version`.
        contract: How its policy is traded.
        action_size: Numbers in a continuous action; None when actions are discrete.
        torchscript: The network as TorchScript, in a sealed process; None for a declared network,
            beside which policy.pt is never executed.
        compiled: The network as the inference service runs it; None when it cannot be compiled.
        compiled_reason: Why not.
    """

    name: str
    contract: TradingContract
    action_size: int | None
    torchscript: Network | None
    compiled: Network | None
    compiled_reason: str

    @property
    def serving(self) -> Network:
        """What the inference service runs."""
        network = self.torchscript if self.compiled is None else self.compiled
        assert network is not None
        return network


def open_bundle(
    path: Path, known: KnownGroups | None = None, *, any_formulas: bool = False
) -> OpenBundle:
    """Verifies a bundle, checks its golden answers, and compiles its network.

    TorchScript is executed by a sealed process, which ends with the bundle.

    Args:
        path: Its folder.
        known: The feature groups that it may need; by default Tradewind's own.
        any_formulas: Opens it also when what it was trained with is calculated otherwise here.

    Raises:
        BundleError: The bundle must not be used.
        VersionNotFoundError: There is no such folder.
        StorageError: The file system failed.
    """
    bundle = read_bundle(path)
    metadata = bundle.metadata
    torchscript = SealedNetwork(bundle) if metadata.graph is None else None
    space = metadata.action_space
    return OpenBundle(
        name=f"{metadata.name}/{metadata.version}",
        contract=read_contract(bundle.metadata_json.decode(), known, any_formulas=any_formulas),
        action_size=None if isinstance(space, DiscreteSpace) else space.size,
        torchscript=torchscript,
        compiled=open_declared(bundle) if torchscript is None else torchscript.compiled,
        compiled_reason="" if torchscript is None else torchscript.runtime_reason,
    )


def find_bundle(store: BundleStore, policy: str, version: str, sha256: str) -> Path:
    """The bundle whose network decided; by its digest, wherever in the store it lies.

    Raises:
        VersionNotFoundError: No bundle of the store has this network.
        ConflictError: The version is there and has another network.
        StorageError: The store cannot be read.
    """
    path = store.path(policy, version)
    there = policy in store.policies() and version in store.versions(policy)
    if there and _sha256(path) == sha256:
        return path
    for other in store.policies():
        for published in store.versions(other):
            candidate = store.path(other, published)
            with contextlib.suppress(BundleError):  # a broken one is not the one that decided
                if _sha256(candidate) == sha256:
                    return candidate
    metadata = {"policy": policy, "version": version, "bundle_sha256": sha256}
    if there:
        raise ConflictError(
            f"{policy}/{version} in the store {store.root} has another network than the one that "
            f"decided ({sha256[:12]}…)",
            metadata=metadata,
        )
    raise VersionNotFoundError(
        f"bundle {policy}/{version} (network {sha256[:12]}…), which decided, is not in the store "
        f"{store.root}",
        metadata=metadata,
    )


def run_network(network: Network, observations: NDArray[np.float32]) -> NDArray[Any]:
    """The actions for many observations: int64 [n], or float32 [n, *action shape]."""
    chunks = range(0, len(observations), _CHUNK)
    answers = [network.act(observations[at : at + _CHUNK].copy())[0] for at in chunks]
    return np.concatenate(answers)


def _sha256(path: Path) -> str:
    return read_bundle(path).metadata.sha256
