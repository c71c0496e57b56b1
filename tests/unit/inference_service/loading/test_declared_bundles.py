"""Declared networks are loaded by processes that have never imported torch."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference_service.loading.loader import BundleLoader
from inference_service.loading.process import LoaderProcess
from inference_service.loading.settings import LoaderSettings
from tests.declaring import declare
from tradewind.bundle import BundleDraft, BundleLimits, BundleStore
from tradewind.errors import BundleError

Released = Callable[..., BundleDraft]


@pytest.fixture
def fresh() -> Iterator[LoaderProcess]:
    """A loading process of the test's own."""
    with LoaderProcess() as process:
        yield process


def loader_of(requests: socket.socket) -> BundleLoader:
    return BundleLoader(
        requests, LoaderSettings(), BundleLimits(), lambda: None, 100.0, threading.Event()
    )


def has_torch(process: LoaderProcess) -> bool:
    return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()


def test_loading_process_imports_torch_for_the_first_bundle_of_format_1_alone(
    fresh: LoaderProcess, store: BundleStore, released_draft: Released
) -> None:
    load = loader_of(fresh.requests)
    begun: list[str] = []
    for policy in ("tiny-dqn", "tiny-sac"):
        draft = declare(released_draft(policy))
        version = load(store.publish(draft).path, lambda: begun.append("declared"))
        assert version.policy.runtime == "compiled"
        found, _ = version.policy.predict_batch(draft.golden.observations)
        np.testing.assert_allclose(found, draft.golden.actions, rtol=0.0, atol=1e-5)
        assert not has_torch(fresh)

    for policy in ("tiny-dqn", "tiny-sac"):
        version = load(store.publish(released_draft(policy)).path, lambda: begun.append("script"))
        assert version.policy.runtime == "compiled"
        assert has_torch(fresh)
    assert begun == ["declared", "declared", "script", "script"]

    declared = store.publish(declare(released_draft())).path
    assert load(declared).policy.runtime == "compiled"


def test_declared_bundle_whose_answers_are_not_the_golden_ones_is_refused(
    process: LoaderProcess, store: BundleStore, released_draft: Released
) -> None:
    declared = declare(released_draft())
    weights = {name: -array for name, array in declared.weights.items()}
    path = store.publish(replace(declared, weights=weights)).path
    with pytest.raises(BundleError, match="is refused: golden observation") as refused:
        loader_of(process.requests)(path)
    assert refused.value.reason == "GOLDEN_MISMATCH"


def test_declared_bundle_whose_weights_are_cut_off_is_refused(
    process: LoaderProcess, store: BundleStore, released_draft: Released
) -> None:
    path = store.publish(declare(released_draft())).path
    file = path / "policy.safetensors"
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BundleError) as refused:
        loader_of(process.requests)(path)
    assert refused.value.reason == "DIGEST_MISMATCH"
