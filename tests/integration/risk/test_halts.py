"""Halts: latched, durable, and cleared by a person only."""

import os
import signal

from tradewind.api.risk.v1 import risk_pb2


def test_halt_with_kill_and_restart_stays_until_resumed(start_risk, database, calm, crashed):
    service = start_risk(database=database)
    assert service.evaluate(calm, account="desk").action == risk_pb2.ACTION_ALLOW
    halted = service.evaluate(crashed, account="desk")
    assert halted.action == risk_pb2.ACTION_HALT
    assert halted.halt.rule == "drawdown_halt"
    assert halted.halt.decision_id == halted.decision_id

    os.kill(service.process.popen.pid, signal.SIGKILL)
    service.process.popen.wait()
    service = start_risk(database=database)

    after = service.evaluate(calm, account="desk")
    assert after.action == risk_pb2.ACTION_HALT
    assert after.halt == halted.halt
    assert service.evaluate(calm, account="other").action == risk_pb2.ACTION_ALLOW

    service.stub.Resume(
        risk_pb2.ResumeRequest(
            account="desk", name="A. Person", reason="data error", role="risk_officer"
        )
    )
    assert service.evaluate(calm, account="desk").action == risk_pb2.ACTION_ALLOW
    service.process.stop()
    service = start_risk(database=database)
    assert service.evaluate(calm, account="desk").action == risk_pb2.ACTION_ALLOW
    kinds = [decision.kind for decision in service.all_decisions()]
    assert kinds.count("resume") == 1
    resumed = next(item for item in service.all_decisions() if item.kind == "resume")
    assert (resumed.actor_name, resumed.actor_role, resumed.reason) == (
        "A. Person",
        "risk_officer",
        "data error",
    )
