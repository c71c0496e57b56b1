"""One tick, followed through the logs, the records and the trace of all that it passed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from examples.print_traces import Collector
from orchestrator.decision_log import DecisionLog
from tests.collector import collector, lines_of
from tests.integration.orchestrator.conftest import RISK_POLICY, Desk, publisher
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import RiskClient

__all__ = ["collector"]

INFERENCE = "tradewind.api.inference.v1.InferenceService"
RISK = "tradewind.api.risk.v1.RiskService"


def test_tick_is_found_by_its_request_id_in_both_services_the_audit_and_its_trace(
    tmp_path: Path,
    released_draft: Callable[..., BundleDraft],
    start_service: Callable[..., ServiceProcess],
    collector: Collector,
) -> None:
    publish = publisher(BundleStore(tmp_path / "store"), released_draft)
    publish()
    risk_policy = tmp_path / "risk.yaml"
    risk_policy.write_text(yaml.safe_dump(RISK_POLICY, explicit_end=True))
    config = tmp_path / "server.yaml"
    values = {"server": {"listen": "127.0.0.1:0", "logging": {"format": "json", "calls": "all"}}}
    config.write_text(yaml.safe_dump(values))
    traced = ("--trace-to", collector.endpoint)
    common = (*traced, "--config", str(config))
    inference = start_service("inference_service", *common, "--store", str(tmp_path / "store"))
    risk = start_service(
        "risk_service",
        *(*common, "--policy", str(risk_policy)),
        *("--database", f"sqlite:///{tmp_path}/audit.sqlite"),
    )
    desk = Desk(tmp_path, inference, risk, publish, risk_policy)
    settings = desk.settings(feed__held_out_fraction=0.001)
    command = [sys.executable, "-m", "orchestrator", *traced, "--log-format", "json", "--config"]
    file = desk.config(feed__held_out_fraction=0.001)

    done = subprocess.run([*command, str(file)], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    asked = DecisionLog(settings.log.folder).flat("decisions")
    request_id = asked.column("request_id")[0].as_py()
    (predicted,) = about(tmp_path / "inference_service.log", request_id)
    (evaluated,) = about(tmp_path / "risk_service.log", request_id)
    assert predicted["service"] == "inference_service"
    assert predicted["method"].endswith("/PredictBatch")
    assert predicted["policy"] == "tiny-dqn"
    assert evaluated["method"].endswith("/Evaluate")
    assert (evaluated["account"], evaluated["code"]) == ("default", "OK")
    with RiskClient(risk.address) as client:
        assert request_id in {row.request_id for row in client.list_decisions()}
    for service in (inference, risk):
        service.stop()  # which sends the spans that are left
    spans = collector.spans()
    mine = [span for span in spans if span.attributes.get("tradewind.request_id") == request_id]
    (trace_id,) = {span.trace_id for span in mine}
    assert len(mine) == 5
    assert sorted(lines_of(spans, trace_id)) == sorted(
        [
            "orchestrator: tick",
            f"  orchestrator: {INFERENCE}/PredictBatch OK",
            f"    inference_service: {INFERENCE}/PredictBatch OK",
            f"  orchestrator: {RISK}/Evaluate OK",
            f"    risk_service: {RISK}/Evaluate OK",
        ]
    )


def about(log: Path, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line.get("request_id") == request_id]
