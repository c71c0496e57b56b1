"""The process of one job: `python -m trainer_service.jobs.worker EVENTS_FD < order.json`."""

import contextlib
import importlib
import logging
import os
import resource
import signal
import sys
import threading
import time
from types import FrameType
from typing import BinaryIO, NoReturn

from tradewind.components import closed_doors
from tradewind.errors import StoppedByRiskError, TradewindError
from tradewind.jobs import TrainingPhase, TrainingProgress
from tradewind.logs import LogSettings, log_context, set_up_logging
from tradewind.tracing import Tracer, in_span, tracing
from trainer_service.checkpoints import Checkpointing
from trainer_service.jobs.failures import causes_of, describe_failure
from trainer_service.jobs.messages import (
    JobCheckpointed,
    JobFailed,
    JobNoted,
    JobOrder,
    JobProgress,
    JobSucceeded,
    WorkerEvent,
)
from trainer_service.jobs.phase_spans import in_phase_spans
from trainer_service.training.agent import TrainerAgent
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import make_environment

__all__ = ["main"]

_LOG = logging.getLogger("trainer_service.jobs.worker")  # it is __main__
_GRACE_S = 10.0


class _Events:
    """The stream that the service reads."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def send(self, event: WorkerEvent) -> None:
        self._file.write(event.model_dump_json().encode() + b"\n")
        self._file.flush()

    def send_progress(self, progress: TrainingProgress) -> None:
        if progress.phase is TrainingPhase.PUBLISHING:
            # From here on a cancel comes too late: a published bundle must be reported.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.send(JobProgress(progress=progress))

    def send_checkpoint(self, timesteps: int) -> None:
        self.send(JobCheckpointed(timesteps=timesteps))

    def send_note(self, text: str) -> None:
        self.send(JobNoted(text=text))


def main() -> int:
    """Trains as standard input says and reports to the file descriptor in the argument.

    Returns:
        The exit code: 0 when the bundle is published, 1 when the training failed.
    """
    signal.signal(signal.SIGTERM, _unwind)
    # The service takes these lines back into records and writes them as it was told to.
    set_up_logging(LogSettings(format="json"), "trainer_service")
    events_fd = int(sys.argv[1])
    os.set_inheritable(events_fd, False)
    order = JobOrder.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_service, name="service-watch", daemon=True).start()
    about = log_context(job=order.job_id, request_id=order.request_id)
    with (
        about,
        os.fdopen(events_fd, "wb") as file,
        tracing(order.tracing, "trainer_service") as tracer,
        # The configuration comes from the job store, where others may write.
        closed_doors(order.components, "allow_components of the trainer service"),
    ):
        return _train(order, _Events(file), tracer)


def _train(order: JobOrder, events: _Events, tracer: Tracer | None) -> int:
    memory_limit_mb: int | None = None
    try:
        config = parse_training_config(order.config, JobConfig, quote_files=False)
        memory_limit_mb = config.resources.memory_limit_mb
        if memory_limit_mb is not None:
            _limit_memory(memory_limit_mb)
        _LOG.info("training %s for policy %s", config.algorithm, config.policy)
        checkpointing = Checkpointing(order.checkpoints, events.send_checkpoint, events.send_note)
        about = {
            "tradewind.job": order.job_id,
            "tradewind.request_id": order.request_id,
            "tradewind.policy": config.policy,
        }
        with (
            in_span(tracer, "training job", about, order.traceparent),
            in_phase_spans(tracer, events.send_progress) as listener,
        ):
            env = make_environment(config, quote_files=False)
            bundle = TrainerAgent(config).train(
                env, listener, checkpointing, elapsed_s=order.elapsed_s
            )
    except Exception as problem:
        for cause in causes_of(problem):
            if isinstance(cause, SystemExit):  # of which a library made an error of its own
                raise cause from None
        if not isinstance(problem, TradewindError):
            _LOG.exception("the training was ended by %s", type(problem).__name__)
        events.send(
            JobFailed(
                stopped_by_risk=isinstance(problem, StoppedByRiskError),
                error=describe_failure(problem, memory_limit_mb),
            )
        )
        return 1
    metadata = bundle.metadata
    events.send(JobSucceeded(bundle_version=metadata.version, bundle_sha256=metadata.sha256))
    return 0


def _limit_memory(megabytes: int) -> None:
    """Makes what would take more memory than that raise MemoryError.

    The limit is on what the process allocates: RLIMIT_AS would count the code of the libraries
    too, and address space that nothing was ever stored in.
    """
    # Where it is installed, the first kernel would load this later, and its BLAS waits for ever
    # when memory runs out.
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("scipy.linalg")
    limit = megabytes * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _unwind(number: int, _frame: FrameType | None) -> NoReturn:
    """Leaves through every `finally`, so that a half-published bundle is removed."""
    raise SystemExit(128 + number)


def _end_with_the_service() -> None:
    """Standard input ends when the service does; nobody is left to report to."""
    # Not sys.stdin: its lock, held by a daemon thread, would abort the interpreter's own end.
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
