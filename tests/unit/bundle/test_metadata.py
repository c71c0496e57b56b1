import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tradewind.bundle import (
    BoxSpace,
    BundleDraft,
    BundleFault,
    BundleMetadata,
    Distribution,
    FeatureRecord,
    GoldenSet,
    RiskRecord,
)
from tradewind.errors import BundleFormatError

Draft = Callable[..., BundleDraft]


@pytest.fixture
def metadata(make_draft: Draft) -> BundleMetadata:
    draft = make_draft(
        features=FeatureRecord(spec={"window": 4, "kinds": ["rsi"]}, digest="a" * 64),
        risk=RiskRecord(policy_digest="b" * 64, limits={"max_drawdown": 0.2}, penalty_weight=0.1),
    )
    created_at = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    return draft.metadata("2026-11-22.1", created_at, draft.contents())


def changed(metadata: BundleMetadata, **changes: Any) -> bytes:
    return json.dumps({**json.loads(metadata.to_json()), **changes}).encode()


def test_metadata_with_every_part_survives_json(metadata: BundleMetadata) -> None:
    assert BundleMetadata.from_json(metadata.to_json()) == metadata


def test_metadata_cut_anywhere_is_refused(metadata: BundleMetadata) -> None:
    data = metadata.to_json().rstrip()
    for length in range(len(data)):
        with pytest.raises(BundleFormatError, match="not complete, valid JSON") as refused:
            BundleMetadata.from_json(data[:length])
        assert refused.value.reason == BundleFault.METADATA_INVALID


@pytest.mark.parametrize("found", [0, 3, "1", None, 1.5, True])
def test_metadata_with_unknown_format_version_is_refused(
    metadata: BundleMetadata, found: object
) -> None:
    with pytest.raises(BundleFormatError, match="this release reads 1") as refused:
        BundleMetadata.from_json(changed(metadata, format_version=found))
    assert refused.value.reason == BundleFault.FORMAT_VERSION_UNKNOWN


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"sha256": "c" * 64}, "sha256 is not the digest of policy.pt"),
        ({"sha256": "C" * 64}, "sha256: String should match pattern"),
        ({"files": {"policy.pt": "c" * 64}, "sha256": "c" * 64}, "files must name golden.npz"),
        ({"name": "../x"}, "name: String should match pattern"),
        ({"version": "1"}, "version: String should match pattern"),
        ({"created_at": "2026-11-22T12:00:00"}, "timezone"),
        ({"slo": None}, "slo: "),
        ({"action_space": {"kind": "box", "shape": [2]}}, "does not fit a box action space"),
        ({"distribution": {"kind": "q_values"}}, "exploration_rate belongs to q_values"),
        ({"distribution": {"kind": "softmax"}}, "distribution.kind"),
    ],
)
def test_metadata_with_contradiction_is_refused(
    metadata: BundleMetadata, changes: dict[str, Any], cause: str
) -> None:
    with pytest.raises(BundleFormatError, match=cause) as refused:
        BundleMetadata.from_json(changed(metadata, **changes))
    assert refused.value.reason == BundleFault.METADATA_INVALID


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_metadata_with_number_that_is_not_finite_is_refused(
    metadata: BundleMetadata, number: str
) -> None:
    data = metadata.to_json().replace(b"0.01", number.encode())
    with pytest.raises(BundleFormatError, match=r"is not JSON|finite number"):
        BundleMetadata.from_json(data)


def test_metadata_with_repeated_key_is_refused(metadata: BundleMetadata) -> None:
    data = metadata.to_json().replace(b'"name"', b'"algo": "SB3-PPO",\n  "name"', 1)
    with pytest.raises(BundleFormatError, match="key 'algo' is repeated"):
        BundleMetadata.from_json(data)


@pytest.mark.parametrize("data", [b"[]", b"7", b"null", b"[" * 100_000, b"\xff\xfe"])
def test_metadata_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(BundleFormatError) as refused:
        BundleMetadata.from_json(data)
    assert refused.value.reason == BundleFault.METADATA_INVALID


@pytest.mark.parametrize("low", [None, (0.0, None)])
def test_squashed_gaussian_with_unbounded_action_is_refused(
    make_draft: Draft, low: float | tuple[float | None, ...] | None
) -> None:
    draft = make_draft(
        action_space=BoxSpace(shape=(2,), low=low, high=1.0),
        distribution=Distribution(kind="squashed_gaussian"),
    )
    with pytest.raises(BundleFormatError, match="bounded on both sides"):
        draft.metadata("2026-11-22.1", datetime.now(UTC), draft.contents())


def test_deterministic_distribution_is_the_action_in_one_row(make_draft: Draft) -> None:
    shape = (2, 3)
    draft = make_draft(
        golden=GoldenSet(
            observations=np.zeros((4, 4), np.float32),
            actions=np.zeros((4, *shape), np.float32),
            distribution=np.zeros((4, 6), np.float32),
        ),
        action_space=BoxSpace(shape=shape),
        distribution=Distribution(kind="deterministic"),
    )

    metadata = draft.metadata("2026-11-22.1", datetime.now(UTC), draft.contents())

    assert metadata.distribution_shape(4) == (4, 6)
    assert BundleMetadata.from_json(metadata.to_json()) == metadata


def test_deterministic_distribution_of_a_discrete_action_is_refused(make_draft: Draft) -> None:
    draft = make_draft(distribution=Distribution(kind="deterministic"))
    with pytest.raises(BundleFormatError, match="deterministic does not fit a discrete"):
        draft.metadata("2026-11-22.1", datetime.now(UTC), draft.contents())
