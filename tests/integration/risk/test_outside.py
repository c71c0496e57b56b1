"""A calculator from outside in the risk service: named by the policy file, in every call."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import RiskPolicyError
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
from tradewind.rpc.risk.risk_codec import risk_inputs_to_message, risk_report_from_message

MODULE = "calculator_of_the_service"
SOURCE = """
from tradewind.risk import NoSettings, PythonCalculator


def calculate(_, account):
    if account.returns[-1] > 0.5:
        raise OverflowError("too good to be true")
    if account.returns[-1] > 0.2:
        return {"worst_return": f"{account.returns[-1]:g} is no return"}
    return {"worst_return": -float(account.returns.min())}


WORST = PythonCalculator(
    name="worst",
    version=3,
    settings=NoSettings,
    metrics=lambda _: {"worst_return": "fraction"},
    windows=lambda _: {"returns": 4},
    needs=lambda _: {"returns": 2, "positions": 0},
    calculate=calculate,
)
"""
POLICY = f"""
calculators:
  worst: {{use: "{MODULE}:WORST", budget_us: 1000000}}
limits:
  worst_return: {{limit: 0.1}}
rules:
  - {{name: worst, when: {{metric: worst_return}}, action: BLOCK}}
"""
CALM = np.array([100.0, 101.0, 99.0, 100.0])


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / f"{MODULE}.py"
    path.write_text(SOURCE)
    yield path
    sys.modules.pop(MODULE, None)


def inputs_of(values: np.ndarray[Any, Any]) -> risk_pb2.RiskInputs:
    return risk_inputs_to_message(RiskInputs(portfolio_values=values))


def test_service_whose_policy_names_a_calculator_gives_its_metric_in_every_call(
    module: Path, serve: Callable[..., Any]
) -> None:
    server = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", "drain_s": 0.0}
    service = serve(POLICY, server=server)
    agent = RiskAgentV2(RiskPolicy.from_text((POLICY + "\n...\n").encode(), "policy"))
    lucky, luckier = CALM * [1.0, 1.0, 1.0, 1.3], CALM * [1.0, 1.0, 1.0, 2.0]
    for values in (CALM, lucky, CALM[:1], luckier, lucky * [1.0, 1.0, 1.0, 1.01], CALM):
        expected = agent.calculate_only(RiskInputs(portfolio_values=values))
        for _ in range(2):  # the second one with the words of the first
            answer = service.calculate(inputs_of(values))
            assert risk_report_from_message(answer) == expected
        request = risk_pb2.CalculateStreamRequest(increment=inputs_of(values))
        [streamed] = service.stub.CalculateStream(iter([request]), timeout=20)
        assert risk_report_from_message(streamed.result) == expected
        decided = service.evaluate(inputs_of(values))
        assert risk_report_from_message(decided.metrics) == expected
        # A value within the limit passes; one over it, or none, does not.
        within = expected.metric_values.get("worst_return", 1.0) <= 0.1
        assert decided.action == (risk_pb2.ACTION_ALLOW if within else risk_pb2.ACTION_BLOCK)
    status = service.policy()
    described = RiskPolicy.parse(json.loads(status.canonical_json))
    assert described.digest() == status.policy_digest == agent.policy_digest
    assert status.calculators[-1] == "worst"
    assert status.declared[-1] == risk_pb2.RiskCalculator(
        name="worst", version=3, use=f"{MODULE}:WORST", metric_units={"worst_return": "fraction"}
    )
    metrics = service.metrics()
    label = '{calculator="worst"}'
    assert metrics[f"tradewind_risk_calculator_seconds_count{label}"] == 20.0
    assert metrics[f"tradewind_risk_calculator_failures_total{label}"] == 4.0
    assert metrics[f"tradewind_risk_calculator_slow_calls_total{label}"] == 0.0
    assert metrics[f"tradewind_risk_calculator_measured_seconds{label}"] > 0.0


def test_service_whose_policy_names_what_cannot_be_imported_does_not_start(
    module: Path, serve: Callable[..., Any]
) -> None:
    module.write_text("raise RuntimeError('not today')")
    with pytest.raises(RiskPolicyError) as caught:
        serve(POLICY)
    [violation] = caught.value.violations
    assert violation.field == "calculators.worst.use"
    assert "cannot be imported: RuntimeError: not today" in violation.description
    assert violation.description.endswith("(line 3)")
