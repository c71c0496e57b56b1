"""The policy file, changed while the service runs."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tradewind.api.risk.v1 import risk_pb2

WARNS = "rules: [{name: limit, when: {metric: max_drawdown, over: 0.1}, action: WARN}]\n"
BLOCKS = "rules: [{name: limit, when: {metric: max_drawdown, over: 0.1}, action: BLOCK}]\n"
REFUSALS = {
    "unknown key": "rulez: []\n",
    "not YAML": "rules: [{name: limit\n",
    "unknown metric": WARNS.replace("max_drawdown", "drawdawn"),
    "not text": "\udcff",
    "bottomless": "rules: &all [*all]\n",
    "empty rule": "rules: [{}]\n",
}

losing = risk_pb2.RiskInputs(portfolio_values=[100.0, 80.0])


def replace_file(path: Path, text: str) -> None:
    """As an editor or a deployment does it."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(f"{text}\n...\n".encode(errors="surrogateescape"))
    fresh.replace(path)


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3_000):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail("the condition did not come to hold in time")


def test_reload_with_a_good_file_swaps_the_rules_without_dropping_a_call(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    service = serve(WARNS)
    before = service.policy().policy_digest
    answers: list[tuple[int, str]] = []
    failures: list[grpc.RpcError] = []
    swapped = threading.Event()

    def call() -> None:
        while True:
            last = swapped.is_set()
            try:
                answer = service.evaluate(losing)
            except grpc.RpcError as error:
                failures.append(error)
                return
            answers.append((answer.action, answer.metrics.policy_digest))
            if last:
                return

    caller = threading.Thread(target=call)
    caller.start()
    until(lambda: bool(answers))
    replace_file(tmp_path / "policy.yaml", BLOCKS)
    until(lambda: service.policy().policy_digest != before)
    swapped.set()
    caller.join()
    after = service.policy().policy_digest
    assert failures == []
    assert set(answers) == {(risk_pb2.ACTION_WARN, before), (risk_pb2.ACTION_BLOCK, after)}
    assert answers == sorted(answers)


@pytest.mark.parametrize("text", REFUSALS.values(), ids=REFUSALS)
def test_reload_with_a_bad_file_keeps_the_policy_and_recovers_with_a_good_one(
    serve: Callable[..., Any], tmp_path: Path, text: str
) -> None:
    service = serve(WARNS)
    before = service.policy()
    assert before.refusal == ""
    replace_file(tmp_path / "policy.yaml", text)
    until(lambda: service.policy().refusal != "")
    refused = service.policy()
    assert "policy.yaml" in refused.refusal
    assert refused.policy_digest == before.policy_digest
    assert refused.canonical_json == before.canonical_json
    assert service.evaluate(losing).action == risk_pb2.ACTION_WARN
    replace_file(tmp_path / "policy.yaml", BLOCKS)
    until(lambda: service.policy().refusal == "")
    assert service.evaluate(losing).action == risk_pb2.ACTION_BLOCK


def test_reload_with_the_file_removed_keeps_the_policy_and_counts_the_refusal(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    service = serve(WARNS, metrics_listen="127.0.0.1:0")
    (tmp_path / "policy.yaml").unlink()
    until(lambda: service.policy().refusal != "")
    assert service.metrics()["tradewind_risk_policy_refusals_total"] == 1
    assert service.evaluate(losing).action == risk_pb2.ACTION_WARN


def test_start_with_a_bad_policy_says_which_line(
    start_risk: Callable[..., Any], policy_file: Path
) -> None:
    policy_file.write_text("rules:\n  - {name: limit, when: {metric: nothing}, action: WARN}\n")
    with pytest.raises(Exception, match=r"no enabled calculator gives nothing.*\(line 2\)"):
        start_risk()
