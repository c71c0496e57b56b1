"""Alerts and dashboard against the metrics of the real services, in a real Prometheus."""

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.faults.load import CALM, CRASHED
from tests.integration.orchestrator.conftest import publisher
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.ports import reserve_port
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient, RiskClient

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
# Without a GPU, a training, a refused version or a second worker these have nothing to show here.
MAY_BE_EMPTY = ("quarantines", "steps_per_second", "worker_restarts", 'code!="OK"', "load_seconds")


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((MONITORING / "grafana" / "dashboards" / "tradewind.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def alert_expressions() -> list[str]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


@contextlib.contextmanager
def running_orchestrator(folder: Path, inference: str, risk: str) -> Iterator[str]:
    """An orchestrator that trades two bars a second; gives the address of its live view."""
    values = {
        "account": "monitored",
        "folder": str(folder / "orchestrator"),
        "services": {"inference": inference, "risk": risk},
        "allocations": [{"symbol": "BTC", "policy": "tiny-dqn"}],
        "feed": {"kind": "sample", "speed": 3600.0},
        "safety": {"budget_ms": 60_000.0},
        "log": {"folder": str(folder / "orchestrator" / "log")},
        "live": {"listen": "127.0.0.1:0"},
    }
    config = folder / "orchestrator.yaml"
    config.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "orchestrator", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().rpartition("http://")[2].strip().rstrip("/")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def metrics(
    tmp_path_factory: pytest.TempPathFactory, released_draft: Callable[..., BundleDraft]
) -> Iterator[dict[str, str]]:
    """The services after some calls, and an orchestrator: where each serves its metrics."""
    folder = tmp_path_factory.mktemp("monitored")
    jobs, audit = (f"sqlite:///{folder / name}.sqlite" for name in ("jobs", "audit"))
    trainer = folder / "trainer.yaml"
    trainer.write_text(
        "server: {listen: '127.0.0.1:0', access: " + str(ROOT / "config" / "access.yaml") + "}\n"
    )
    risk = folder / "risk.yaml"
    risk.write_text(f"database: {audit}\npolicy: {ROOT / 'config' / 'risk_limits.yaml'}\n")
    inference_settings = folder / "inference.yaml"
    # Nobody takes the spans: their traces are the exemplars of the metrics all the same.
    tracing = "server: {tracing: {endpoint: 'http://127.0.0.1:1'}}\n"
    inference_settings.write_text(tracing)
    publisher(BundleStore(folder / "store"), released_draft)()
    arguments = {
        "trainer": ["--config", str(trainer), "--jobs", jobs, "--store", str(folder / "bundles")],
        "inference": ["--store", str(folder / "store"), "--config", str(inference_settings)],
        "risk": ["--config", str(risk)],
    }
    listening = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    with contextlib.ExitStack() as stack:
        services = {
            name: ServiceProcess(f"{name}_service", [*own, *listening], log=folder / f"{name}.log")
            for name, own in arguments.items()
        }
        for service in services.values():
            stack.callback(service.stop)
        with InferenceClient(services["inference"].address, timeout_s=5.0) as inference:
            inference.wait_ready(30.0)
            for _ in range(200):
                inference.predict(np.zeros(6, dtype=np.float32), policy="tiny-dqn")
        with RiskClient(services["risk"].address, timeout_s=5.0) as client:
            client.evaluate(CALM, account="calm")
            client.evaluate(CRASHED, account="crashed")
        addresses = {name: service.metrics_address for name, service in services.items()}
        addresses["orchestrator"] = stack.enter_context(
            running_orchestrator(folder, services["inference"].address, services["risk"].address)
        )
        yield addresses


@pytest.fixture(scope="module")
def prometheus(metrics: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with our configuration but for the addresses; gives its URL."""
    folder = tmp_path_factory.mktemp("prometheus")
    values = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    for scrape in values["scrape_configs"]:
        scrape["static_configs"] = [{"targets": [metrics[scrape["job_name"]]]}]
    values["rule_files"] = [str(MONITORING / "alerts.yml")]
    values["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(values))
    with reserve_port("127.0.0.1:0") as address:
        pass
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            wait_for_data(f"http://{address}")
            yield f"http://{address}"
        finally:
            process.terminate()


def query(url: str, expression: str) -> list[dict[str, Any]]:
    asked = urllib.parse.urlencode({"query": expression.replace("$__rate_interval", "1m")})
    with urllib.request.urlopen(f"{url}/api/v1/query?{asked}") as answer:
        found = json.load(answer)
    assert found["status"] == "success"
    result: list[dict[str, Any]] = found["data"]["result"]
    return result


def wait_for_data(url: str) -> None:
    """Until two scrapes of each service lie in the store, and the orchestrator has decided."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            counted = query(url, "count_over_time(up[1m]) > 2")
            decided = query(url, "tradewind_orchestrator_drawdown")
            if len(counted) == 4 and len(query(url, "up == 1")) == 4 and decided:
                return
        time.sleep(0.2)
    raise AssertionError("Prometheus has not scraped the services")


@pytest.mark.usefixtures("prometheus")  # which waits until the orchestrator has decided
def test_every_metric_that_alerts_and_dashboard_name_is_exported(metrics: dict[str, str]) -> None:
    exported = {"up"}
    for address in metrics.values():
        with urllib.request.urlopen(f"http://{address}/metrics") as answer:
            text = answer.read().decode()
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
            parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            exported |= {name + part for part in parts}
    named = {
        name
        for expression in (*dashboard_expressions(), *alert_expressions())
        for name in re.findall(r"\b(?:tradewind|process)_\w+|\bup\b", expression)
    }
    # Workers restart under a supervisor only, which one worker does not have.
    assert named - exported == {"tradewind_inference_worker_restarts_total"}


def test_prometheus_knows_units_and_exemplars(prometheus: str) -> None:
    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"{prometheus}/api/v1/{path}") as answer:
            return json.load(answer)["data"]

    for metric, unit in (
        ("tradewind_rpc_handling_seconds", "seconds"),
        ("tradewind_inference_loaded_bytes", "bytes"),
        ("tradewind_orchestrator_bar_seconds", "seconds"),
    ):
        assert {each["unit"] for each in ask(f"metadata?metric={metric}")[metric]} == {unit}
    name = urllib.parse.quote("tradewind_rpc_handling_seconds_bucket")
    (found,) = ask(f"query_exemplars?query={name}&start=0&end={time.time() + 60}")[:1]
    assert len(found["exemplars"][0]["labels"]["trace_id"]) == 32


def test_every_panel_of_the_dashboard_has_data(prometheus: str) -> None:
    empty = [
        expression for expression in dashboard_expressions() if not query(prometheus, expression)
    ]
    assert [item for item in empty if not any(part in item for part in MAY_BE_EMPTY)] == []


def test_a_halted_account_raises_its_alert_and_nothing_else_does(prometheus: str) -> None:
    deadline = time.monotonic() + 30.0
    while not (firing := query(prometheus, 'ALERTS{alertstate="firing"}')):
        assert time.monotonic() < deadline, "no alert fires"
        time.sleep(0.2)
    assert {alert["metric"]["alertname"] for alert in firing} == {"AccountHalted"}


@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_accepts(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    silent = {case["alertname"] for case in cases if not case["exp_alerts"]}
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert fired == silent == alerts
