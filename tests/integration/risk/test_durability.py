"""What survives kill -9, and what happens while the disk or the database fails."""

import os
import resource
import signal
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from risk_service.verify import main as verify
from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import StorageError
from tradewind.rpc import error_from_rpc

CALLERS = 8
DECISIONS_BEFORE_KILL = 400


def eventually(condition: Any, timeout_s: float = 60.0) -> None:
    """Asks again until it holds; the pause only spares the processor."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail("the condition did not come to hold in time")


def refusal(service: Any, inputs: risk_pb2.RiskInputs) -> StorageError | None:
    """The error of an Evaluate; None when it is answered."""
    try:
        service.evaluate(inputs)
    except grpc.RpcError as problem:
        error = error_from_rpc(problem)
    else:
        return None
    assert isinstance(error, StorageError)
    return error


def test_kill_under_load_loses_no_decision_that_was_answered(
    start_risk: Any, database: str, calm: risk_pb2.RiskInputs, tmp_path: Path
) -> None:
    service = start_risk(database=database)
    answered: list[str] = []
    enough = threading.Event()

    def call(account: str) -> None:
        while True:
            try:
                answer = service.evaluate(calm, account=account)
            except grpc.RpcError:
                return
            answered.append(answer.decision_id)
            if len(answered) >= DECISIONS_BEFORE_KILL:
                enough.set()

    callers = [threading.Thread(target=call, args=(f"account-{n}",)) for n in range(CALLERS)]
    for caller in callers:
        caller.start()
    assert enough.wait(60)
    os.kill(service.process.popen.pid, signal.SIGKILL)
    for caller in callers:
        caller.join()

    service = start_risk(database=database)
    recorded = [decision.decision_id for decision in service.all_decisions()]
    assert len(answered) >= DECISIONS_BEFORE_KILL
    assert set(answered) <= set(recorded)
    assert len(set(recorded)) == len(recorded)
    assert verify(["--database", database]) == 0


def test_evaluate_with_a_full_disk_refuses_and_recovers_by_itself(
    start_risk: Any, calm: risk_pb2.RiskInputs, tmp_path: Path
) -> None:
    service = start_risk()
    service.evaluate(calm)
    process = service.process.popen.pid
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (10, before[1]))
    error = refusal(service, calm)
    assert error is not None
    assert "File too large" in str(error)
    assert (
        service.calculate(calm).metric_values["max_drawdown"] > 0.0
    )  # enforcement fails, not calculation
    resource.prlimit(process, resource.RLIMIT_FSIZE, before)
    eventually(lambda: refusal(service, calm) is None)
    service.stop()
    assert verify(["--database", f"sqlite:///{tmp_path}/audit.sqlite"]) == 0


def test_evaluate_with_postgresql_stopped_refuses_and_recovers_by_itself(
    start_risk: Any, postgres: Any, calm: risk_pb2.RiskInputs, crashed: risk_pb2.RiskInputs
) -> None:
    url = postgres.create_database()
    service = start_risk(database=url)
    kept = service.evaluate(calm).decision_id
    postgres.stop()
    try:
        eventually(lambda: refusal(service, calm) is not None)
        assert refusal(service, crashed) is not None
        assert service.process.popen.poll() is None
        with pytest.raises(grpc.RpcError) as caught:
            service.all_decisions()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        postgres.start()
    eventually(lambda: refusal(service, calm) is None)
    assert kept in [decision.decision_id for decision in service.all_decisions()]
    assert verify(["--database", url]) == 0


def test_evaluate_with_postgresql_hanging_refuses_and_recovers_by_itself(
    start_risk: Any, postgres: Any, calm: risk_pb2.RiskInputs
) -> None:
    url = postgres.create_database()
    service = start_risk(database=url)
    service.evaluate(calm)
    with postgres.frozen():
        eventually(lambda: refusal(service, calm) is not None)
    eventually(lambda: refusal(service, calm) is None)
    service.stop()
    assert verify(["--database", url]) == 0


def test_evaluate_with_the_database_file_removed_refuses(
    start_risk: Any, calm: risk_pb2.RiskInputs, tmp_path: Path
) -> None:
    service = start_risk()
    service.evaluate(calm)
    service.all_decisions()  # waits until the database has it
    file = tmp_path / "audit.sqlite"
    file.rename(tmp_path / "away.sqlite")
    eventually(lambda: refusal(service, calm) is not None)
    assert not file.exists()
    (tmp_path / "away.sqlite").rename(file)
    eventually(lambda: refusal(service, calm) is None)
    assert verify(["--database", f"sqlite:///{file}"]) == 0


def test_halt_with_the_database_failing_is_latched_before_it_can_be_answered(
    start_risk: Any,
    calm: risk_pb2.RiskInputs,
    crashed: risk_pb2.RiskInputs,
) -> None:
    service = start_risk()
    service.evaluate(calm)
    process = service.process.popen.pid
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (10, before[1]))
    error = refusal(service, crashed)
    assert error is not None
    resource.prlimit(process, resource.RLIMIT_FSIZE, before)
    eventually(lambda: refusal(service, calm) is None)
    assert service.evaluate(calm).action == risk_pb2.ACTION_HALT
    os.kill(process, signal.SIGKILL)
    service.process.popen.wait()
    assert start_risk().evaluate(calm).action == risk_pb2.ACTION_HALT


@pytest.mark.parametrize("flags", [("--database", "sqlite:////proc/nowhere/x.sqlite")])
def test_start_with_a_database_that_cannot_be_opened_says_why(
    start_risk: Any, flags: tuple[str, ...]
) -> None:
    with pytest.raises(Exception, match="cannot create /proc/nowhere"):
        start_risk(*flags)
