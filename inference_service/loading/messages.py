"""What a server asks the loading process for, and how that travels. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference_service.loading.settings import ExecutorSettings, LoaderSettings
from tradewind.bundle import (
    Bundle,
    BundleLimits,
    BundleMetadata,
    BundleSignature,
    GoldenSet,
    TrustedKeys,
)
from tradewind.sealing.wire import Frame, WireError

__all__ = [
    "ExecuteRequest",
    "LoadRequest",
    "Need",
    "bundle_frame",
    "read_bundle_frame",
    "read_request",
]


class Need:
    """What a fork needs of the loading process, as the byte that asks for one."""

    NOTHING: Final = b"\0"
    TORCHSCRIPT: Final = b"t"


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """A bundle to load.

    Attributes:
        folder: `<store>/<policy>/<version>`.
        limits: Largest files accepted.
        trusted: Whose signatures are believed; None when none is looked at.
        bounds: What loading may take.
    """

    folder: Path
    limits: BundleLimits
    trusted: TrustedKeys | None
    bounds: LoaderSettings

    def frame(self) -> Frame:
        """What travels."""
        trusted = self.trusted and {
            "public": [key.hex() for key in self.trusted.public],
            "required": self.trusted.required,
            "revoked": sorted(self.trusted.revoked),
        }
        message = {
            "load": str(self.folder),
            "limits": self.limits.model_dump(mode="json"),
            "trusted": trusted,
            "bounds": self.bounds.model_dump(mode="json"),
        }
        return message, []


@dataclass(frozen=True, slots=True, eq=False)
class ExecuteRequest:
    """A network to execute in a process of its own until the connection ends.

    Attributes:
        policy_pt: The network, out of a bundle that is proved.
        observations: To warm it up with.
        bounds: What it may take.
        allow_unsealed: See LoaderSettings.
    """

    policy_pt: bytes
    observations: NDArray[np.float32]
    bounds: ExecutorSettings = field(default_factory=ExecutorSettings)
    allow_unsealed: bool = False

    def frame(self) -> Frame:
        """What travels."""
        message = {
            "execute": self.bounds.model_dump(mode="json"),
            "allow_unsealed": self.allow_unsealed,
        }
        return message, [np.frombuffer(self.policy_pt, np.uint8), self.observations]


def read_request(
    message: dict[str, Any], arrays: Sequence[NDArray[Any]]
) -> LoadRequest | ExecuteRequest:
    """The request that a frame of a server stands for; a server is trusted."""
    if "execute" in message:
        policy_pt, observations = arrays
        return ExecuteRequest(
            policy_pt.tobytes(),
            observations,
            ExecutorSettings.model_validate(message["execute"]),
            message["allow_unsealed"],
        )
    trusted = message["trusted"]
    return LoadRequest(
        Path(message["load"]),
        BundleLimits.model_validate(message["limits"]),
        trusted
        and TrustedKeys(
            tuple(map(bytes.fromhex, trusted["public"])),
            required=trusted["required"],
            revoked=frozenset(trusted["revoked"]),
        ),
        LoaderSettings.model_validate(message["bounds"]),
    )


def bundle_frame(bundle: Bundle) -> Frame:
    """What stands for a bundle that was read and verified, before its network is touched.

    A declared network follows on its own, and its policy.pt serves nobody.
    """
    golden = bundle.golden
    policy_pt = bundle.policy_pt if bundle.metadata.graph is None else b""
    files = [np.frombuffer(data, np.uint8) for data in (bundle.metadata_json, policy_pt)]
    signature = bundle.signature and bundle.signature.model_dump(mode="json")
    return {"signature": signature}, [
        *files,
        golden.observations,
        golden.actions,
        golden.distribution,
    ]


def read_bundle_frame(
    folder: Path, message: dict[str, Any], arrays: Sequence[NDArray[Any]]
) -> Bundle:
    """The bundle that a frame stands for.

    Raises:
        WireError: It stands for none.
        BundleError: Its parts contradict each other.
    """
    if len(arrays) != 5:
        raise WireError("no bundle")
    metadata_json, policy_pt = (array.tobytes() for array in arrays[:2])
    metadata, golden = BundleMetadata.from_json(metadata_json), GoldenSet(*arrays[2:])
    golden.check(metadata)
    said = message["signature"]
    signature = None if said is None else BundleSignature.model_validate(said)
    return Bundle(folder, metadata, metadata_json, policy_pt, golden, signature)
