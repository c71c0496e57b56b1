"""The policy file, changed while the service runs."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from risk_service.policy_source import PolicySource
from risk_service.telemetry import Telemetry
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


HALTS = """\
limits: {max_drawdown: {limit: 0.3}}
rules:
  - {name: halt, when: {metric: max_drawdown}, action: HALT}
  - {name: end, when: {metric: max_drawdown, over: 0.4}, action: LIQUIDATE}
"""
LOOSER = {
    "without its last rule": HALTS[: HALTS.index("  - {name: end")],
    "without rules": "monitor_only: true\nlimits: {max_drawdown: {limit: 0.3}}\n",
    "with a higher limit": HALTS.replace("limit: 0.3", "limit: 0.31"),
    "in shadow": HALTS.replace("action: HALT}", "action: HALT, shadow: true}"),
    "that blocks only": HALTS.replace("action: HALT", "action: BLOCK"),
    "in a window": HALTS.replace(
        "action: HALT", "window: {at_least: 2, evaluations: 3}, action: HALT"
    ),
}


@pytest.mark.parametrize("text", LOOSER.values(), ids=LOOSER)
def test_reload_that_loosens_what_halts_is_refused_until_a_restart(
    serve: Callable[..., Any], tmp_path: Path, text: str
) -> None:
    service = serve(HALTS, metrics_listen="127.0.0.1:0")
    before = service.policy().policy_digest
    replace_file(tmp_path / "policy.yaml", text)
    until(lambda: service.policy().refusal != "")
    refused = service.policy()
    assert "would loosen what halts or liquidates: rule " in refused.refusal
    assert "policy_may_loosen" in refused.refusal
    assert refused.policy_digest == before
    assert service.metrics()["tradewind_risk_policy_refused"] == 1
    crashed = risk_pb2.RiskInputs(portfolio_values=[100.0, 55.0])
    assert service.evaluate(crashed).action == risk_pb2.ACTION_LIQUIDATE
    replace_file(tmp_path / "policy.yaml", HALTS)
    until(lambda: service.policy().refusal == "")
    assert service.metrics()["tradewind_risk_policy_refused"] == 0
    service.stop()
    assert serve(text).policy().policy_digest != before


def test_reload_that_tightens_what_halts_takes_over(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    service = serve(HALTS)
    before = service.policy().policy_digest
    replace_file(tmp_path / "policy.yaml", HALTS.replace("limit: 0.3", "limit: 0.1"))
    until(lambda: service.policy().policy_digest != before)
    assert service.evaluate(losing).action == risk_pb2.ACTION_HALT


def test_reload_that_loosens_with_leave_to_do_so_takes_over(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    service = serve(HALTS, policy_may_loosen=True)
    replace_file(tmp_path / "policy.yaml", WARNS)
    until(lambda: service.evaluate(losing).action == risk_pb2.ACTION_WARN)


def test_overlay_that_is_put_on_is_said_in_the_policy_in_answers_and_in_the_audit_trail(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay.yaml"
    replace_file(overlay, "limits: {}")
    service = serve(HALTS, overlay=overlay)
    before = service.policy()
    assert (before.overlay_digest, before.overlay_json, before.limits["max_drawdown"]) == (
        "", "", 0.3,
    )  # fmt: skip
    assert service.evaluate(losing, account="a").action == risk_pb2.ACTION_ALLOW
    replace_file(overlay, f"base: {before.policy_digest}\nlimits: {{max_drawdown: 0.1}}")
    until(lambda: service.policy().overlay_digest != "")
    on = service.policy()
    assert (on.policy_digest, on.limits["max_drawdown"]) == (before.policy_digest, 0.1)
    assert json.loads(on.overlay_json)["limits"] == {"max_drawdown": 0.1}
    assert json.loads(on.parts_json).keys() == {"drawdown@1", "limits@1", "rules@1"}
    assert "halt: max_drawdown > 0.1; by the overlay" in on.rules
    answer = service.evaluate(losing, account="a")
    assert (answer.action, answer.overlay_digest) == (risk_pb2.ACTION_HALT, on.overlay_digest)
    assert answer.metrics.policy_digest == before.policy_digest
    assert answer.halt.reason == "max_drawdown 0.2 is over 0.1; by the overlay"
    # The score is relative to the policy's limits, as it was when policies were trained.
    assert answer.metrics.risk_score == pytest.approx(0.2 / 0.3)
    rows = service.stub.ListDecisions(risk_pb2.ListDecisionsRequest(account="a")).decisions
    assert [row.overlay_digest for row in rows] == [on.overlay_digest, ""]


def test_reload_of_a_file_that_is_cut_off_at_any_line_never_takes_it_over(
    tmp_path: Path,
) -> None:
    shipped = Path(__file__).parents[3] / "config" / "risk_limits.yaml"
    lines = shipped.read_text().splitlines(keepends=True)
    path = tmp_path / "policy.yaml"
    path.write_bytes(shipped.read_bytes())
    source = PolicySource(path, 3600.0, Telemetry(CollectorRegistry()), may_loosen=True)
    digest = source.current.digest
    for end in range(len(lines)):
        path.write_text("".join(lines[:end]))
        source._look()
        source._look()
        assert source.current.digest == digest
        assert source.refusal != ""
    path.write_bytes(shipped.read_bytes())
    source._look()
    assert source.refusal != ""  # one look is not enough
    source._look()
    assert source.refusal == ""
    source.close()


def test_reload_of_a_file_that_differs_from_look_to_look_waits_until_it_stands_still(
    tmp_path: Path,
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"{WARNS}...\n")
    source = PolicySource(path, 3600.0, Telemetry(CollectorRegistry()))
    digest = source.current.digest
    for number in range(5):
        path.write_text(f"# being written: {number}\n{BLOCKS}...\n")
        source._look()
    assert (source.current.digest, source.refusal) == (digest, "")
    source._look()
    assert source.current.digest != digest
    source.close()


def test_policy_file_that_becomes_a_pipe_is_refused_and_the_process_ends_on_a_signal(
    start_risk: Callable[..., Any], policy_file: Path, calm: risk_pb2.RiskInputs
) -> None:
    service = start_risk()
    policy_file.unlink()
    os.mkfifo(policy_file)
    until(lambda: "a named pipe" in service.policy().refusal)
    assert service.evaluate(calm).action == risk_pb2.ACTION_ALLOW
    policy_file.unlink()
    policy_file.symlink_to("/dev/zero")
    until(lambda: "a device" in service.policy().refusal)
    assert service.stop() == 0


def test_policy_of_a_config_map_is_followed_through_its_links(
    start_risk: Callable[..., Any], tmp_path: Path
) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()

    def swap(version: str, text: str) -> None:
        (mount / f"..{version}").mkdir()
        (mount / f"..{version}" / "policy.yaml").write_text(f"{text}...\n")
        (mount / "..new").symlink_to(f"..{version}")
        (mount / "..new").replace(mount / "..data")

    swap("1", WARNS)
    (mount / "policy.yaml").symlink_to("..data/policy.yaml")
    service = start_risk("--policy", str(mount / "policy.yaml"))
    assert service.evaluate(losing).action == risk_pb2.ACTION_WARN
    swap("2", BLOCKS)
    until(lambda: service.evaluate(losing).action == risk_pb2.ACTION_BLOCK)


def test_limits_that_no_rule_enforces_are_said_at_the_start(
    start_risk: Callable[..., Any], policy_file: Path
) -> None:
    policy_file.write_text("limits: {max_drawdown: {limit: 0.2}, volatility: {limit: 1}}\n" + (
        "rules:\n  - {name: halt, when: {metric: max_drawdown}, action: HALT}\n...\n"
    ))  # fmt: skip
    service = start_risk()
    log = service.process.log_tail(100)
    assert "no rule enforces limits.volatility" in log
    assert "limits.max_drawdown" not in log
