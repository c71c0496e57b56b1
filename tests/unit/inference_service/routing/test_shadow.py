import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference_service.registry import LoadedVersion
from inference_service.routing.routes import Shadow, Tally, Variant
from inference_service.routing.shadow import ShadowCall, ShadowRunner
from tradewind.bundle import BundleStore

MakeCall = Callable[..., ShadowCall]


@pytest.fixture
def make_call(
    store: BundleStore, load: Callable[[Path], LoadedVersion], publish: Callable[..., str]
) -> MakeCall:
    version = load(store.path("tiny-dqn", publish()))
    shadow = Shadow("tiny-dqn", "next", version, Tally(float("inf")))
    variant = Variant("tiny-dqn", "steady", version, Tally(float("inf")), (shadow,))

    def make(
        request_id: str, observations: NDArray[np.float32] | None = None, offset: int = 0
    ) -> ShadowCall:
        rows = version.policy.golden.observations[:3] if observations is None else observations
        actions = version.policy.golden.actions[: len(rows)].copy()
        actions[:1] = (actions[:1] + offset) % 3
        return ShadowCall(variant, rows, actions, True, 0, request_id, "key")

    return make


def test_shadow_that_agrees_and_one_that_does_not_are_recorded_newest_first(
    make_call: MakeCall,
) -> None:
    runner = ShadowRunner(queue_calls=4, kept_answers=2)
    for number, offset in enumerate((0, 1, 0)):
        runner.offer(make_call(str(number), offset=offset))
        runner.answer_next()
    outcomes, dropped = runner.totals()
    assert sorted(outcomes.values()) == [1, 2]
    assert dropped == {}
    kept = runner.answers("", "", differing_only=False, limit=10)
    assert [answer.request_id for answer in kept] == ["2", "1"]  # two are kept
    (differing,) = runner.answers("tiny-dqn", "next", differing_only=True, limit=10)
    assert (differing.request_id, differing.row_count) == ("1", 3)
    assert differing.differing_row_count == 1
    assert differing.actions[0] != differing.shadow_actions[0]
    assert differing.actions[1:] == differing.shadow_actions[1:]
    assert runner.answers("other", "", differing_only=False, limit=10) == []


def test_shadow_that_fails_is_recorded_and_hinders_nothing(make_call: MakeCall) -> None:
    runner = ShadowRunner(queue_calls=4, kept_answers=4)
    runner.offer(make_call("bad", np.full((1, 6), np.nan, np.float32)))
    runner.answer_next()
    (answer,) = runner.answers("", "", differing_only=False, limit=10)
    assert answer.failure.startswith("ObservationError: ")
    assert answer.shadow_actions == ()
    ((_, _, _, outcome),) = runner.totals()[0]
    assert outcome == "failed"


def test_calls_beyond_the_queue_or_too_large_are_dropped_and_counted(make_call: MakeCall) -> None:
    runner = ShadowRunner(queue_calls=2, kept_answers=4)
    for number in range(5):
        runner.offer(make_call(str(number)))
    runner.offer(make_call("large", np.zeros((20_000, 6), np.float32)))
    assert runner.totals()[1] == {
        ("tiny-dqn", "queue_full"): 3,
        ("tiny-dqn", "too_large"): 1,
    }


def test_thread_answers_what_waits_and_ends_when_told(make_call: MakeCall) -> None:
    runner, stopping = ShadowRunner(queue_calls=64, kept_answers=64), threading.Event()
    thread = threading.Thread(target=runner.follow, args=(stopping,))
    thread.start()
    for number in range(20):
        runner.offer(make_call(str(number)))
    patience = threading.Event()
    for _ in range(600):
        if sum(runner.totals()[0].values()) == 20:
            break
        patience.wait(0.05)
    stopping.set()
    thread.join(30)
    assert not thread.is_alive()
    assert sum(runner.totals()[0].values()) == 20
