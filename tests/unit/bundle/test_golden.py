import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tradewind.bundle import BundleDraft, BundleFault, GoldenSet
from tradewind.errors import BundleFormatError

Draft = Callable[..., BundleDraft]


def npz(compressed: bool = False, **arrays: object) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.fixture
def golden() -> GoldenSet:
    return GoldenSet(
        observations=np.arange(8, dtype=np.float32).reshape(2, 4),
        actions=np.array([1, 2]),
        distribution=np.ones((2, 3), np.float32),
    )


def test_golden_set_written_and_read_is_the_same(golden: GoldenSet) -> None:
    read = GoldenSet.from_npz(golden.to_npz())
    for name in ("observations", "actions", "distribution"):
        np.testing.assert_array_equal(getattr(read, name), getattr(golden, name), strict=True)
    assert read.to_npz() == golden.to_npz()


def test_golden_file_with_pickle_is_refused_unopened() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return pytest.fail, ("a pickle was opened",)

    data = npz(observations=np.array([Bomb()], object), actions=0, distribution=0)
    assert pickle.dumps(Bomb())[:1] in data
    with pytest.raises(BundleFormatError, match="Object arrays cannot be loaded"):
        GoldenSet.from_npz(data)


def test_golden_file_that_is_compressed_is_refused() -> None:
    data = npz(compressed=True, observations=np.zeros(10**6), actions=0, distribution=0)
    with pytest.raises(BundleFormatError, match="compressed"):
        GoldenSet.from_npz(data)


def test_golden_file_whose_header_claims_more_than_it_holds_is_refused() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 4)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("observations", "actions", "distribution"):
            archive.writestr(f"{name}.npy", header.getvalue())
    with pytest.raises(BundleFormatError, match="not a readable npz"):
        GoldenSet.from_npz(buffer.getvalue())


def test_golden_file_with_any_byte_changed_reads_or_is_refused(golden: GoldenSet) -> None:
    data = golden.to_npz()
    reasons = set()
    for position in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        try:
            GoldenSet.from_npz(bytes(damaged))
        except BundleFormatError as refused:
            reasons.add(refused.reason)
    assert reasons == {BundleFault.GOLDEN_INVALID}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"observations": np.zeros((0, 4), np.float32)}, "at least one observation"),
        ({"observations": np.zeros((2, 5), np.float32)}, r"observations is float32 \(2, 5\)"),
        ({"observations": np.zeros((2, 4), np.float64)}, "observations is float64"),
        ({"observations": np.full((2, 4), np.nan, np.float32)}, "NaN or infinite"),
        ({"actions": np.array([0, 1, 2])}, r"actions is int64 \(3,\)"),
        ({"actions": np.array([0, 3])}, "actions must lie in 0 to 2"),
        ({"actions": np.array([-1, 0])}, "actions must lie in 0 to 2"),
        ({"distribution": np.zeros((2, 2), np.float32)}, "distribution is float32"),
        ({"distribution": np.full((2, 3), np.inf, np.float32)}, "NaN or infinite"),
    ],
)
def test_golden_set_that_does_not_fit_the_spaces_is_refused(
    make_draft: Draft, golden: GoldenSet, changes: dict[str, Any], cause: str
) -> None:
    draft = make_draft(golden=replace(golden, **changes))
    with pytest.raises(BundleFormatError, match=cause) as refused:
        draft.metadata("2026-11-22.1", datetime.now(UTC), draft.contents())
    assert refused.value.reason == BundleFault.GOLDEN_INVALID
