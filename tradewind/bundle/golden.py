"""golden.npz: recorded observations and the answers that the network must give to them."""

import io
import zipfile
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle.faults import BundleFault
from tradewind.bundle.metadata import BundleMetadata
from tradewind.bundle.names import GOLDEN_FILE
from tradewind.bundle.spaces import DiscreteSpace
from tradewind.errors import BundleFormatError

__all__ = ["GoldenSet"]

_ARRAYS = ("observations", "actions", "distribution")


@dataclass(frozen=True, eq=False)
class GoldenSet:
    """Observations with the actions and distribution parameters the exported network gave.

    Attributes:
        observations: float32 [G, *observation shape].
        actions: int64 [G] for a discrete action space, else float32 [G, *action shape].
        distribution: float32, shaped as metadata.Distribution says.
    """

    observations: NDArray[np.float32]
    actions: NDArray[Any]
    distribution: NDArray[np.float32]

    def check(self, metadata: BundleMetadata) -> None:
        """Compares types and shapes with what the metadata says.

        Raises:
            BundleFormatError: An array has another type or shape, is not finite or empty, or an
                action is outside a discrete action space.
        """
        count = len(self.observations) if self.observations.ndim else 0
        if count == 0:
            raise _invalid("observations must hold at least one observation")
        space = metadata.action_space
        action_type = np.int64 if isinstance(space, DiscreteSpace) else np.float32
        expected = {
            "observations": (np.dtype(np.float32), (count, *metadata.obs_space.shape)),
            "actions": (np.dtype(action_type), metadata.action_shape(count)),
            "distribution": (np.dtype(np.float32), metadata.distribution_shape(count)),
        }
        for name, (dtype, shape) in expected.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.shape != shape:
                raise _invalid(
                    f"{name} is {array.dtype} {array.shape}, "
                    f"but the metadata's spaces need {dtype} {shape}"
                )
            if not np.all(np.isfinite(array)):
                raise _invalid(f"{name} holds a NaN or infinite value")
        if isinstance(space, DiscreteSpace) and not np.all(
            (self.actions >= 0) & (self.actions < space.n)
        ):
            raise _invalid(f"actions must lie in 0 to {space.n - 1}")

    def to_npz(self) -> bytes:
        """The file's bytes: equal arrays give equal bytes."""
        buffer = io.BytesIO()
        np.savez(buffer, **{name: getattr(self, name) for name in _ARRAYS})
        return buffer.getvalue()

    @classmethod
    def from_npz(cls, data: bytes) -> Self:
        """Reads the file's bytes; nothing in them is ever unpickled or decompressed.

        Raises:
            BundleFormatError: The bytes are not an uncompressed npz of exactly our arrays.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise _invalid("compressed arrays are not allowed")
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                if sorted(arrays.files) != sorted(_ARRAYS):
                    raise _invalid(f"holds {sorted(arrays.files)}, but needs {sorted(_ARRAYS)}")
                return cls(**{name: arrays[name] for name in _ARRAYS})
        except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as problem:
            raise _invalid(f"not a readable npz: {problem}") from None


def _invalid(what: str) -> BundleFormatError:
    return BundleFormatError(f"{GOLDEN_FILE}: {what}", reason=BundleFault.GOLDEN_INVALID)
