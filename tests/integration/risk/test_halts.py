"""Halts: latched, durable, and cleared by a person only."""

import os
import signal
from collections.abc import Callable
from typing import Any

from tradewind.api.risk.v1 import risk_pb2

ALLOW, HALT = risk_pb2.ACTION_ALLOW, risk_pb2.ACTION_HALT


def test_halt_with_kill_and_restart_stays_until_resumed(
    start_risk: Callable[..., Any],
    database: str,
    calm: risk_pb2.RiskInputs,
    crashed: risk_pb2.RiskInputs,
) -> None:
    service = start_risk(database=database)
    assert service.evaluate(calm, account="desk").action == ALLOW
    halted = service.evaluate(crashed, account="desk")
    assert halted.action == HALT
    assert halted.halt.rule == "drawdown_halt"
    assert halted.halt.decision_id == halted.decision_id

    os.kill(service.process.popen.pid, signal.SIGKILL)
    service.process.popen.wait()
    service = start_risk(database=database)

    after = service.evaluate(calm, account="desk")
    assert after.action == HALT
    assert after.halt == halted.halt
    assert service.evaluate(calm, account="other").action == ALLOW
    service.resume("desk")
    assert service.evaluate(calm, account="desk").action == ALLOW


def test_resume_with_a_restart_after_it_stays_in_force_and_says_who_and_why(
    serve: Callable[..., Any], calm: risk_pb2.RiskInputs, crashed: risk_pb2.RiskInputs
) -> None:
    service = serve()
    service.evaluate(crashed)
    service.resume("default")
    service.stop()
    service = serve()
    assert service.evaluate(calm).action == ALLOW
    _, resumed, _ = service.all_decisions()
    assert resumed.kind == "resume"
    assert (resumed.actor_name, resumed.actor_role) == ("A. Person", "risk_officer")
    assert resumed.reason == "data error"
    assert not resumed.halt.halted
