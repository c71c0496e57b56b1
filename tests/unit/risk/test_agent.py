"""RiskAgentV2 and its reports."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.errors import RiskInputError
from tradewind.risk import (
    BatchBar,
    FloatArray,
    Position,
    ProductionRiskAdvisor,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
    RiskReport,
)
from tradewind.risk.engine.arrays import calculate_arrays
from tradewind.risk.engine.remarks import MOST_KEPT
from tradewind.risk.engine.stepping import begin_rows, update_rows
from tradewind.risk.engine.tracking import update_row

Agent = Callable[..., RiskAgentV2]
RealValues = Callable[[int], FloatArray]
DEFAULT_POLICY = Path("config/risk_limits.yaml")


def test_report_with_everything_known_has_every_metric(full_inputs: RiskInputs) -> None:
    agent = RiskAgentV2.from_yaml(DEFAULT_POLICY)
    report = agent.calculate_only(full_inputs)
    assert report.unavailable == {}
    assert tuple(report.metric_values) == agent.policy.calculators.metrics()
    assert all(np.isfinite(value) for value in report.metric_values.values())
    assert report.policy_digest == agent.policy_digest == agent.policy.digest()
    assert report.unchecked_limits == ()


def test_report_with_nothing_known_has_a_reason_for_every_metric() -> None:
    agent = RiskAgentV2.from_yaml(DEFAULT_POLICY)
    report = agent.calculate_only({})
    assert report.metric_values == {}
    assert set(report.unavailable) == set(agent.policy.calculators.metrics())
    assert set(report.unchecked_limits) == set(agent.policy.limits)
    assert all(reason != "not calculated" for reason in report.unavailable.values())


def test_score_with_no_limit_checked_is_unknown_and_not_zero(agent_of: Agent) -> None:
    report = agent_of(limits={"var_95": {"limit": 0.1}}).calculate_only(
        {"portfolio_values": [1.0, 1.1]}
    )
    assert "max_drawdown" in report.metric_values
    assert (report.risk_score, report.penalty) == (None, None)


def test_score_and_penalty_with_limits_are_those_of_the_definition(
    agent_of: Agent, real_values: RealValues
) -> None:
    limits = {
        "max_drawdown": {"limit": 10.0, "weight": 2.0},
        "var_95": {"limit": 0.02, "weight": 1.0},
        "volatility": {"limit": 100.0, "weight": 0.0},
        "gross_leverage": {"limit": 1.0},
    }
    report = agent_of(limits=limits).calculate_only({"portfolio_values": real_values(300)})
    metrics = report.metric_values
    drawdown, tail = metrics["max_drawdown"] / 10.0, metrics["var_95"] / 0.02
    assert report.risk_score == max(drawdown, tail, metrics["volatility"] / 100.0)
    assert report.penalty == pytest.approx((2.0 * drawdown + tail) / 3.0, rel=1e-15)
    assert report.unchecked_limits == ("gross_leverage",)


@pytest.mark.parametrize(("limit", "score"), [(1e-6, 1.0), (1e6, 0.0)])
def test_score_with_extreme_utilisations_is_clipped_and_the_penalty_is_not(
    agent_of: Agent, limit: float, score: float
) -> None:
    report = agent_of(limits={"var_95": {"limit": limit}}).calculate_only(
        {"returns": np.full(20, -0.5 if score else 0.5)}
    )
    assert report.risk_score == score
    assert report.penalty == pytest.approx((0.5 if score else -0.5) / limit)


def test_penalty_with_no_weight_is_unknown(agent_of: Agent) -> None:
    limits = {"max_drawdown": {"limit": 1.0, "weight": 0.0}}
    report = agent_of(limits=limits).calculate_only({"portfolio_values": [2.0, 1.0]})
    assert (report.risk_score, report.penalty) == (0.5, None)


def test_penalty_with_an_infinite_utilisation_of_no_weight_is_that_of_the_others(
    agent_of: Agent,
) -> None:
    limits = {
        "volatility": {"limit": 5e-324, "weight": 0.0},
        "max_drawdown": {"limit": 1.0},
    }
    values = [2.0, *np.linspace(1.0, 1.5, 40)]
    report = agent_of(limits=limits).calculate_only({"portfolio_values": values})
    assert (report.risk_score, report.penalty) == (1.0, 0.5)


def test_reports_with_the_same_remarks_share_no_mapping() -> None:
    agent = RiskAgentV2(RiskPolicy())
    first, second = (agent.calculate_only({"portfolio_values": [2.0, 1.0]}) for _ in range(2))
    assert first == second
    for name in ("metric_values", "unavailable", "notes"):
        getattr(first, name).clear()
    assert agent.calculate_only({"portfolio_values": [2.0, 1.0]}) == second


def test_reports_with_more_kinds_of_remarks_than_are_kept_say_each_right(
    agent_of: Agent,
) -> None:
    agent = agent_of(volatility={"min_returns": 700}, limits={"volatility": {"limit": 1.0}})
    for _ in range(2):
        for count in range(2, 2 * MOST_KEPT, 3):
            report = agent.calculate_only({"returns": np.full(count, 0.01)})
            assert report.unavailable["volatility"].endswith(
                f"needed, {min(count, 256)} in the window"
            )
            assert report.unchecked_limits == ("volatility",)


def test_reports_that_name_an_element_name_that_of_their_own_inputs(agent_of: Agent) -> None:
    agent = agent_of()
    for symbol in 2 * ("BTC", "ETH"):  # the second time from what is kept
        account = {"positions": [Position(symbol, 1.0, 1.0)], "capital_base": 1.0}
        assert symbol in agent.calculate_only(account).unavailable["depth_shock"]


def test_report_is_frozen(report_of: Callable[..., RiskReport]) -> None:
    with pytest.raises(AttributeError):
        report_of().risk_score = 0.0  # type: ignore[misc]


def test_policy_with_every_calculator_disabled_reports_nothing() -> None:
    names = type(RiskPolicy().calculators).model_fields
    policy = RiskPolicy.parse({"calculators": {name: {"enabled": False} for name in names}})
    report = RiskAgentV2(policy).calculate_only({"portfolio_values": [1.0]})
    assert (report.metric_values, report.unavailable, report.risk_score) == ({}, {}, None)


@pytest.mark.parametrize("disabled", ["var", "expected_shortfall"])
def test_tails_with_one_of_their_calculators_disabled_are_the_same(
    agent_of: Agent, real_values: RealValues, disabled: str
) -> None:
    inputs = {"portfolio_values": real_values(400)}
    both = agent_of().calculate_only(inputs).metric_values
    one = agent_of(**{disabled: {"enabled": False}}).calculate_only(inputs).metric_values
    assert one == {name: both[name] for name in one}
    assert len(one) < len(both)


def test_tails_with_different_windows_look_back_over_their_own(
    agent_of: Agent, real_values: RealValues
) -> None:
    values = real_values(400)
    apart = agent_of(var={"window_bars": 50}, expected_shortfall={"window_bars": 200})
    found = apart.calculate_only({"portfolio_values": values}).metric_values
    short = agent_of().calculate_only({"portfolio_values": values[-51:]}).metric_values
    long = agent_of().calculate_only({"portfolio_values": values[-201:]}).metric_values
    assert found["var_95"] == short["var_95"]
    assert found["expected_shortfall_95"] == long["expected_shortfall_95"]


def test_advisor_gives_the_metrics_of_the_agent_and_leaves_out_the_rest(
    real_values: RealValues,
) -> None:
    advisor = ProductionRiskAdvisor(DEFAULT_POLICY)
    inputs = {"portfolio_values": real_values(100)}
    report = RiskAgentV2.from_yaml(DEFAULT_POLICY).calculate_only(inputs)
    assert advisor.evaluate(inputs) == report.metric_values
    assert advisor.report(inputs) == report
    assert advisor.policy_digest == report.policy_digest
    assert advisor.tracker().update(inputs) == report


def test_advisor_with_an_unknown_key_refuses_it() -> None:
    with pytest.raises(RiskInputError, match="portfolio_value: unknown field"):
        ProductionRiskAdvisor(DEFAULT_POLICY).evaluate({"portfolio_value": [1.0]})


def test_warm_up_leaves_nothing_to_compile(full_inputs: RiskInputs) -> None:
    agent = RiskAgentV2.from_yaml(DEFAULT_POLICY)
    agent.warm_up()
    kernels: list[Any] = [calculate_arrays, update_row, begin_rows, update_rows]
    before = [list(kernel.signatures) for kernel in kernels]
    frozen = full_inputs.portfolio_values[:600]
    frozen.flags.writeable = False
    variants: list[Any] = [
        full_inputs,
        replace(full_inputs, portfolio_values=frozen, timestamps=full_inputs.timestamps[:600]),
        {"portfolio_values": range(1, 400)},
        {"portfolio_values": np.arange(1, 400, dtype=np.float32)},
        {"returns": full_inputs.price_changes[::2]},
    ]
    tracker = agent.tracker()
    for inputs in variants:
        agent.calculate_only(inputs)
    tracker.update(full_inputs)
    batch, bar = agent.batch(2, ("BTC", "ETH"), 1e5), BatchBar.zeros(2, 2)
    batch.begin(np.array([1]), bar)
    bar.timestamps[:] = 5.0
    batch.update(bar)
    assert [list(kernel.signatures) for kernel in kernels] == before
    assert all(len(signatures) == 1 for signatures in before)


def test_kernels_in_a_second_process_come_from_the_cache(tmp_path: Path) -> None:
    script = """
from tradewind.risk import RiskAgentV2, RiskPolicy
from tradewind.risk.engine.arrays import calculate_arrays
RiskAgentV2(RiskPolicy()).warm_up()
stats = calculate_arrays.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
    RiskAgentV2(RiskPolicy()).warm_up()
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert found.stdout.split() == ["1", "0"]
