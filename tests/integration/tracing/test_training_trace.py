"""Traces of a trainer service's callers: a program's goes on in the process of its job."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.print_traces import Collector
from tests.collector import WaitForSpans, collector, lines_of, wait_for_spans
from tests.integration.trainer.conftest import TrainerUnderTest, tiny_config
from tradewind.rpc.clients import TrainerClient
from tradewind.tracing import TracingSettings, tracing
from tradewind_cli.__main__ import main

__all__ = ["collector", "tiny_config", "wait_for_spans"]

TRAINER = "tradewind.api.trainer.v1.TrainerService"


@pytest.fixture
def trainer(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrainerUnderTest]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # milliseconds, instead of 5 s
    values = yaml.safe_load(Path("config/trainer.yaml").read_text())["server"]
    server = {**values, "tracing": {"endpoint": collector.endpoint}}
    trainer = TrainerUnderTest(tmp_path, server=server)
    yield trainer
    trainer.close()


def test_training_with_tracing_goes_on_in_the_process_of_its_job(
    trainer: TrainerUnderTest,
    tiny_config: dict[str, Any],
    collector: Collector,
    wait_for_spans: WaitForSpans,
) -> None:
    with (
        tracing(TracingSettings(endpoint=collector.endpoint), "researcher") as tracer,
        TrainerClient(trainer.service.address, timeout_s=30.0, tracer=tracer) as client,
    ):
        started = client.start_training("btc", tiny_config, request_id="monday-1")
    trainer.wait_for_end(started.job_id)

    spans = wait_for_spans(
        lambda found: (
            {"training job", f"{TRAINER}/StartTraining"}
            <= {span.name for span in found if span.service == "trainer_service"}
        )
    )

    (job,) = [span for span in spans if span.name == "training job"]
    assert job.attributes["tradewind.job"] == started.job_id
    assert job.attributes["tradewind.request_id"] == "monday-1"
    phases = ("preparing", "training", "evaluating", "exporting", "publishing")
    assert lines_of(spans, job.trace_id) == [
        f"researcher: {TRAINER}/StartTraining OK",
        f"  trainer_service: {TRAINER}/StartTraining OK",
        "    trainer_service: training job",
        *(f"      trainer_service: {phase}" for phase in phases),
    ]


def test_command_with_a_collector_is_traced_into_the_service_and_with_a_bad_one_refused(
    trainer: TrainerUnderTest,
    collector: Collector,
    wait_for_spans: WaitForSpans,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listing = ("jobs", "list", "--address", trainer.service.address)

    assert main(["--trace-to", collector.endpoint, *listing]) == 0

    method = f"{TRAINER}/ListTrainingJobs"
    spans = wait_for_spans(lambda found: len(found) >= 2)
    assert lines_of(spans, spans[0].trace_id) == [
        f"tradewind: {method} OK",
        f"  trainer_service: {method} OK",
    ]
    assert main(["--trace-to", "127.0.0.1:4317", *listing]) == 2
    assert "--trace-to" in capsys.readouterr().err
