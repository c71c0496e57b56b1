"""Answers of shadows: computed after the caller's, off its path, and recorded."""

import logging
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference_service.routing.routes import Shadow, Variant
from tradewind.serving import ShadowAnswer

__all__ = ["ShadowCall", "ShadowRunner"]

_LOG = logging.getLogger(__name__)
_LOOK_FOR_END_S: Final = 0.25
_DELAY_S: Final = 0.02
_PAUSE_S: Final = 50e-6
_ANSWERS_AT_ONCE: Final = 8
_LARGEST_CALL: Final = 256 * 1024
_KEPT_VALUES: Final = 64
_TOLERANCE: Final = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class ShadowCall:
    """A call that was answered.

    Attributes:
        variant: Who answered, and with that the shadows.
        observations: Float32 [N, *shape].
        actions: What was answered: int64 [N], or float32 [N, *action shape].
    """

    variant: Variant
    observations: NDArray[np.float32]
    actions: NDArray[Any]
    deterministic: bool
    seed: int
    request_id: str
    routing_key: str


class ShadowRunner:
    """Takes calls without waiting and answers them on a thread of its own.

    A full queue drops calls and counts them. The thread waits 20 ms before it begins, which lets
    the answers leave and wakes it at most 50 times a second, and pauses after every eight answers,
    so that no call under way waits for the interpreter longer than these take.

    Args:
        queue_calls: Calls that may wait.
        kept_answers: Answers that are kept of each shadow, the latest.
    """

    def __init__(self, queue_calls: int, kept_answers: int) -> None:
        self._queue: deque[ShadowCall] = deque()
        self._queue_calls = queue_calls
        self._kept_answers = kept_answers
        self._answers: dict[tuple[str, str], deque[ShadowAnswer]] = {}
        self._lock = threading.Lock()
        self._waiting = threading.Event()
        self.outcomes: Counter[tuple[str, str, str, str]] = Counter()
        """Calls by policy, shadow, version and outcome: same, different or failed."""
        self.dropped: Counter[tuple[str, str]] = Counter()
        """Calls that were not computed, by policy and reason: queue_full or too_large."""

    def offer(self, call: ShadowCall) -> None:
        """Takes a call whose answer is made, or drops it."""
        if call.observations.nbytes > _LARGEST_CALL:
            self._drop(call, "too_large")
        elif len(self._queue) >= self._queue_calls:
            self._drop(call, "queue_full")
        else:
            self._queue.append(call)
            if not self._waiting.is_set():
                self._waiting.set()

    def follow(self, stopping: threading.Event) -> None:
        """Answers until told to stop; what still waits then is not computed."""
        while not stopping.is_set():
            if not self._waiting.wait(_LOOK_FOR_END_S):
                continue
            stopping.wait(_DELAY_S)
            self._waiting.clear()
            while self._queue and not stopping.is_set():
                for _ in range(min(_ANSWERS_AT_ONCE, len(self._queue))):
                    self.answer_next()
                time.sleep(_PAUSE_S)

    def answer_next(self) -> None:
        """Computes the answers of all shadows to the call that waits longest."""
        call = self._queue.popleft()
        for shadow in call.variant.shadows:
            answer = _answer(shadow, call)
            key = (shadow.policy, shadow.name)
            with self._lock:
                kept = self._answers.get(key)
                if kept is None:
                    kept = self._answers[key] = deque(maxlen=self._kept_answers)
                kept.append(answer)
                outcome = "different" if answer.differing_row_count else "same"
                outcome = "failed" if answer.failure else outcome
                self.outcomes[*key, shadow.version.version, outcome] += 1

    def answers(
        self, policy: str, shadow: str, *, differing_only: bool, limit: int
    ) -> list[ShadowAnswer]:
        """The kept answers, newest first; an empty name stands for every one."""
        with self._lock:
            kept = [
                answer
                for key, answers in self._answers.items()
                if policy in ("", key[0]) and shadow in ("", key[1])
                for answer in answers
                if answer.differing_row_count or not differing_only
            ]
        kept.sort(key=lambda answer: answer.answered_at, reverse=True)
        return kept[:limit]

    def totals(self) -> tuple[dict[tuple[str, str, str, str], int], dict[tuple[str, str], int]]:
        """Copies of `outcomes` and `dropped`."""
        with self._lock:
            return dict(self.outcomes), dict(self.dropped)

    def _drop(self, call: ShadowCall, reason: str) -> None:
        with self._lock:
            self.dropped[call.variant.policy, reason] += 1


def _answer(shadow: Shadow, call: ShadowCall) -> ShadowAnswer:
    failure = ""
    actions: NDArray[Any] = np.empty(0)
    differing = 0
    try:
        # Not through LoadedVersion: what nobody was answered is none of its predictions.
        actions, info = shadow.version.policy.predict_batch(
            call.observations, deterministic=call.deterministic, seed=call.seed
        )
    except Exception as error:  # the callers have their answers, and the others get theirs
        _LOG.debug("shadow %s of %s failed", shadow.name, shadow.policy, exc_info=error)
        shadow.tally.failed()
        failure = f"{type(error).__name__}: {error}"
    else:
        shadow.tally.answered(info["model_compute_ns"])
        differing = _differing_rows(call.actions, actions)
    return ShadowAnswer(
        policy=shadow.policy,
        shadow=shadow.name,
        shadow_version=shadow.version.version,
        variant=call.variant.name,
        version=call.variant.version.version,
        request_id=call.request_id,
        routing_key=call.routing_key,
        row_count=len(call.actions),
        differing_row_count=differing,
        actions=_first_values(call.actions),
        shadow_actions=_first_values(actions),
        failure=failure,
        answered_at=time.time(),
    )


def _differing_rows(given: NDArray[Any], other: NDArray[Any]) -> int:
    if given.dtype == np.int64:
        return int((given != other).sum())
    far = np.abs(given - other) > _TOLERANCE
    return int(far.reshape(len(far), -1).any(axis=1).sum())


def _first_values(actions: NDArray[Any]) -> tuple[float, ...]:
    return tuple(actions.ravel()[:_KEPT_VALUES].tolist())
