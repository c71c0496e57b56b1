"""Ever more load on Predict, beyond what the server can answer: `python -m tests.load.steps`.

h2load offers more calls per second from step to step, because callers in Python would use up the
machine before the server. Beside it Locust goes on with its few calls to all services and checks
each answer. The last step offers no more than the first: the server must have recovered.

Exit code 1 unless every call up to the knee is answered, calls beyond it are answered or refused
with RESOURCE_EXHAUSTED, no answer is wrong, and latency comes back.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from tests.bench.h2load import grpc_command, has_h2load, write_body
from tests.load.locust_process import LocustProcess
from tests.load.questions import Questions
from tests.load.stage import POLICY, Stage
from tests.load.steps_report import Step, find_knee, judge, steps_table, write_page
from tradewind.api.inference.v1 import inference_pb2
from tradewind.errors import TradewindError
from tradewind.rpc.clients import inference_calls

# Of each worker. With the default of 256 a load has to keep many more calls open to be refused.
MAX_CONCURRENT_CALLS = 64
RATES = (1_000, 2_000, 4_000, 6_000, 8_000, 12_000, 16_000, 24_000, 1_000)
CLIENTS = 20
# Of each client: together they keep up to 1,000 calls open.
STREAMS = 50
USERS = 8
USER_RATE = 10.0
SETTLE_S = 1.0
# More than every step takes; Locust is told to end after the last one.
LONGEST_S = 3_600.0
_PATIENCE_S = 60.0
_HTTP_OK = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the steps from the root of the repository; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.steps", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of one step")
    parser.add_argument("--workers", type=int, default=2, help="of the inference service")
    parser.add_argument("--output", type=Path, default=Path("runs/load"), help="where it writes")
    options = parser.parse_args(arguments)
    if not has_h2load():
        sys.exit("load: h2load is missing, nothing was measured")
    console = Console()
    folder = options.output / datetime.now(UTC).strftime("steps-%Y%m%dT%H%M%SZ")
    try:
        steps = run(folder, options.seconds, options.workers)
    except TradewindError as error:
        console.print(f"[bold red]load failed:[/] {error}", soft_wrap=True)
        return 1
    knee, problems = find_knee(steps), judge(steps)
    page = folder / "steps.html"
    write_page(page, steps, problems)
    console.print(steps_table(steps))
    if knee is not None:
        console.print(f"knee: {knee.offered:,} calls/s offered, {knee.answered:,.0f} answered")
    for problem in problems:
        console.print(f"[bold red]load failed:[/] {problem}", soft_wrap=True)
    if not problems:
        console.print("[bold green]sheds load beyond the knee, and recovers[/]")
    console.print(f"report    {page}", soft_wrap=True)
    return int(bool(problems))


def run(folder: Path, seconds: int, workers: int) -> list[Step]:
    """Goes up the steps, and back down.

    Raises:
        TradewindError: The load could not be run.
    """
    server = {"max_concurrent_calls": MAX_CONCURRENT_CALLS}
    with Stage(folder, workers=workers, pin_cpus=True, server=server) as stage:
        job = stage.train()
        questions = stage.questions(POLICY, job.bundle_version, job.job_id)
        locust = LocustProcess(
            folder,
            stage.stack.addresses,
            questions,
            users=USERS,
            rate=USER_RATE,
            seconds=LONGEST_S,
            # As high as the server's: its latencies are to be those of the server.
            niceness=0,
        )
        overload = _Overload(folder, stage, questions, seconds)
        time.sleep(2 * SETTLE_S)
        steps = []
        for rate in RATES:
            steps.append(overload.step(rate))
            time.sleep(SETTLE_S)  # what is still under way belongs to no step
        locust.stop()
        calls = locust.wait(_PATIENCE_S)
    return [step.with_checked(calls.between(step.start_s, step.end_s)) for step in steps]


class _Overload:
    """h2load against the inference service."""

    def __init__(self, folder: Path, stage: Stage, questions: Questions, seconds: int) -> None:
        self._stage = stage
        self._seconds = seconds
        self._log = folder / "h2load.tsv"
        self._body = folder / "predict.grpc"
        request = inference_calls.predict(questions.observations[0], policy=questions.policy)
        assert isinstance(request.request, inference_pb2.PredictRequest)
        write_body(self._body, request.request.SerializeToString())

    def step(self, rate: int) -> Step:
        """Offers calls for a while, a rate of them per second."""
        self._log.unlink(missing_ok=True)
        command = grpc_command(
            self._stage.stack.addresses["inference_service"],
            f"/{inference_calls.SERVICE.full_name}/Predict",
            self._body,
            self._log,
            *(f"--duration={self._seconds}", f"--clients={CLIENTS}"),
            *(f"--rps={rate // CLIENTS}", f"--max-concurrent-streams={STREAMS}"),
        )
        before, start_s = self._stage.predictions(POLICY), time.time()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        end_s, answered = time.time(), self._stage.predictions(POLICY) - before
        status = np.loadtxt(self._log, dtype=np.int64, ndmin=2)[:, 1]
        return Step(
            offered=rate,
            start_s=start_s,
            end_s=end_s,
            sent=int(np.count_nonzero(status == _HTTP_OK)),
            broken=int(np.count_nonzero(status != _HTTP_OK)),
            answered_count=answered,
        )


if __name__ == "__main__":
    sys.exit(main())
