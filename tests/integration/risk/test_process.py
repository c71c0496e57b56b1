"""The process: ready, healthy, drained."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from risk_service.verify import main as verify
from tradewind.api.risk.v1 import risk_pb2

SERVICE = "tradewind.api.risk.v1.RiskService"


def test_process_when_ready_is_healthy_and_drains_on_sigterm_with_everything_stored(
    start_risk: Callable[..., Any], calm: risk_pb2.RiskInputs, tmp_path: Path
) -> None:
    service = start_risk()
    with grpc.insecure_channel(service.process.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            answer = health.Check(  # type: ignore[attr-defined]  # missing in grpcio's stubs
                health_pb2.HealthCheckRequest(service=name), timeout=10
            )
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    recorded = service.evaluate(calm).decision_id
    assert service.stop() == 0
    assert verify(["--database", f"sqlite:///{tmp_path}/audit.sqlite"]) == 0
    service = start_risk()
    assert [item.decision_id for item in service.all_decisions()] == [recorded]


def test_process_runs_under_ordinary_scheduling_so_that_a_neighbour_does_not_hold_it_up(
    start_risk: Callable[..., Any],
) -> None:
    threads = Path(f"/proc/{start_risk().process.popen.pid}/task").iterdir()
    assert {os.sched_getscheduler(int(thread.name)) for thread in threads} == {os.SCHED_OTHER}
