"""What a load runs against: the three services on real state, and questions with known answers."""

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.load import CRASHED
from tests.faults.stack import SERVICES, Stack
from tests.load.answers import find_answers
from tests.load.connect import open_channel
from tests.load.questions import Questions
from tests.waiting import wait_until
from tradewind.errors import TrainingError, UnavailableError
from tradewind.jobs import JobState, TrainingJob
from tradewind.market import load_sample, split_bars
from tradewind.risk.rules import Action
from tradewind.rpc.clients import LatencyReport, RiskClient, TrainerClient, inference_calls
from tradewind.settings import read_yaml

__all__ = ["POLICY", "Stage"]

POLICY = "load"
SYMBOL = "BTC"
HELD_OUT_FRACTION = 0.2
HALTED_ACCOUNT = "load-halted"
RISK_POLICY = Path("config/risk_limits.yaml")
TRAINING = Path("config/training/ppo_btc.yaml")
# Enough for a policy that trades: what it earns is not the question here.
TIMESTEPS = 4_096
# The first job makes the trainer service import what trains.
_PATIENCE_S = 60.0
_CONNECTIONS = 200


class Stage:
    """The three services under the default risk policy, and what a load needs to know of them.

    Use it as a context manager: the services start with it and end with it.

    Args:
        folder: Where their state, settings and logs lie.
        workers: Processes of the inference service.
        inference: More settings of the inference service.

    Attributes:
        stack: The services.
    """

    def __init__(self, folder: Path, *, workers: int, **inference: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._workers = workers
        server = {"metrics_listen": "127.0.0.1:0", **inference.pop("server", {})}
        self.stack = Stack(
            folder,
            settings={"inference_service": {"workers": workers, "server": server, **inference}},
            risk_policy=RISK_POLICY.read_text(),
        )

    def train(self) -> TrainingJob:
        """Has the trainer service train and publish the policy.

        Raises:
            TrainingError: The job did not succeed.
        """
        config, _ = read_yaml(TRAINING)
        config["training_params"]["total_timesteps"] = TIMESTEPS
        config["evaluation"] = {"resamples": 100, "report": False}
        address = self.stack.addresses["trainer_service"]
        with TrainerClient(address, timeout_s=_PATIENCE_S) as trainer:
            job_id = trainer.start_training(POLICY, config).job_id
            *_, job = trainer.watch(job_id)
        if job.state != JobState.SUCCEEDED:
            raise TrainingError(f"the training for the load failed: {job.error}")
        return job

    def questions(self, policy: str, version: str, job_id: str) -> Questions:
        """Waits until every worker serves a version, and finds what they must answer."""
        served = "tradewind_inference_served_version"
        wait_until(
            lambda: self._sum(served, policy=policy, version=version) == self._workers,
            f"{self._workers} workers that serve {policy} {version}",
        )
        with RiskClient(self.stack.addresses["risk_service"]) as risk:
            assert risk.evaluate(CRASHED, account=HALTED_ACCOUNT).action is Action.HALT
        return find_answers(
            self.stack.store.path(policy, version),
            self.stack.risk_policy,
            split_bars(load_sample(SYMBOL), HELD_OUT_FRACTION)[1],
            halted_account=HALTED_ACCOUNT,
            job_id=job_id,
        )

    def predictions(self, policy: str) -> int:
        """Single predictions that all workers together gave so far, from the metrics."""
        name = "tradewind_inference_predictions_total"
        return int(self._sum(name, policy=policy, call="single"))

    def latency_reports(self, policy: str) -> list[LatencyReport]:
        """What each worker measured; nothing may be predicted meanwhile.

        GetLatencyReport answers for the worker that a connection reaches, so this connects again
        and again, until it has one of each and their calls add up to those of the metrics.

        Raises:
            UnavailableError: They never do: a worker was lost, and its measurements with it.
        """
        expected = self.predictions(policy)
        call = inference_calls.latency_reports(policy)
        found: dict[str, LatencyReport] = {}
        for _ in range(_CONNECTIONS):
            address = self.stack.addresses["inference_service"]
            with open_channel(address) as channel:
                stub = inference_calls.SERVICE.stub(channel)
                reports = call.parse(stub.GetLatencyReport(call.request, timeout=5.0))
            found |= {repr(report): report for report in reports}
            calls = [report.call_count for report in found.values()]
            if len(calls) == self._workers and sum(calls) == expected:
                return list(found.values())
        raise UnavailableError(
            f"the workers' latency reports do not add up to the {expected} predictions they gave"
        )

    def __enter__(self) -> Self:
        with ThreadPoolExecutor(len(SERVICES)) as pool:
            list(pool.map(self.stack.start, SERVICES))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stack.__exit__(kind, error, traceback)

    def _sum(self, name: str, **labels: str) -> float:
        address = self.stack.process("inference_service").metrics_address
        with urllib.request.urlopen(f"http://{address}/metrics") as page:
            families = list(text_string_to_metric_families(page.read().decode()))
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
