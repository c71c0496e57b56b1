"""One tick, followed by its request id through the logs and the records of all that it passed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from orchestrator.decision_log import DecisionLog
from tests.integration.orchestrator.conftest import RISK_POLICY, Desk, publisher
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import RiskClient


def test_tick_is_found_by_its_request_id_in_both_services_and_the_audit(
    tmp_path: Path,
    released_draft: Callable[..., BundleDraft],
    start_service: Callable[..., ServiceProcess],
) -> None:
    publish = publisher(BundleStore(tmp_path / "store"), released_draft)
    publish()
    risk_policy = tmp_path / "risk.yaml"
    risk_policy.write_text(yaml.safe_dump(RISK_POLICY))
    config = tmp_path / "server.yaml"
    values = {"server": {"listen": "127.0.0.1:0", "logging": {"format": "json", "calls": "all"}}}
    config.write_text(yaml.safe_dump(values))
    inference = start_service(
        "inference_service", "--config", str(config), "--store", str(tmp_path / "store")
    )
    risk = start_service(
        "risk_service",
        *("--config", str(config), "--policy", str(risk_policy)),
        *("--database", f"sqlite:///{tmp_path}/audit.sqlite"),
    )
    desk = Desk(tmp_path, inference, risk, publish, risk_policy)
    settings = desk.settings(feed__held_out_fraction=0.001)
    command = [sys.executable, "-m", "orchestrator", "--log-format", "json", "--config"]
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


def about(log: Path, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line.get("request_id") == request_id]
