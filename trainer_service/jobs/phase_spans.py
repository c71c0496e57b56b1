"""The spans of a training: what it does, one phase after the other."""

import contextlib
from collections.abc import Callable, Iterator

from tradewind.jobs import TrainingPhase, TrainingProgress
from tradewind.tracing import Span, Tracer
from trainer_service.progress import ProgressListener

__all__ = ["in_phase_spans"]


@contextlib.contextmanager
def in_phase_spans(tracer: Tracer | None, listener: ProgressListener) -> Iterator[ProgressListener]:
    """A listener that also gives each phase a span: one can be seen as soon as the next begins.

    Args:
        tracer: Makes the spans; None for none.
        listener: Who else listens.
    """
    if tracer is None:
        yield listener
        return
    spans = _PhaseSpans(tracer.start, listener)
    try:
        yield spans.listen
    finally:
        spans.end()


class _PhaseSpans:
    def __init__(self, start: Callable[..., Span], listener: ProgressListener) -> None:
        self._start = start
        self._listener = listener
        self._phase: TrainingPhase | None = None
        self._span: Span | None = None

    def listen(self, progress: TrainingProgress) -> None:
        if progress.phase is not self._phase:
            self.end()
            self._phase = progress.phase
            self._span = self._start(progress.phase.value, "internal", {})
        self._listener(progress)

    def end(self) -> None:
        if self._span is not None:
            self._span.end()
            self._span = None
