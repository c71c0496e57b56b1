"""Evaluate: the action, every breach that led to it, and what is recorded of it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tradewind.api.risk.v1 import risk_pb2
from tradewind.risk import RiskInputs
from tradewind.rpc.risk.risk_codec import risk_inputs_to_message

DEFAULT_POLICY = Path(__file__).parents[3] / "config" / "risk_limits.yaml"
ALLOW, WARN, BLOCK = risk_pb2.ACTION_ALLOW, risk_pb2.ACTION_WARN, risk_pb2.ACTION_BLOCK
HALT, LIQUIDATE = risk_pb2.ACTION_HALT, risk_pb2.ACTION_LIQUIDATE

SEVERAL_RULES = """\
limits:
  max_drawdown: {limit: 0.2}
rules:
  - {name: warn, when: {metric: max_drawdown, over: 0.01}, action: WARN, severity: info}
  - {name: watched, when: {metric: max_drawdown, over: 0.05}, action: LIQUIDATE, shadow: true}
  - {name: halt, when: {metric: max_drawdown}, action: HALT, severity: critical}
  - {name: ruin, when: {metric: max_drawdown, over: 0.5}, action: LIQUIDATE}
"""

WINDOWED = """\
limits:
  current_drawdown: {limit: 0.1}
rules:
  - name: twice
    when: {metric: current_drawdown}
    window: {at_least: 2, evaluations: 3}
    action: BLOCK
"""

PRE_TRADE = """\
pre_trade: {order_notional: 5000, gross_leverage: 2.0, adv_participation: 0.1, book_impact: 0.01}
rules:
  - {name: size, when: {metric: pre_trade.order_notional}, action: BLOCK}
  - {name: leverage, when: {metric: pre_trade.gross_leverage}, action: REDUCE_POSITION}
  - name: liquidity
    when: {any: [{metric: pre_trade.adv_participation}, {metric: pre_trade.book_impact}]}
    action: BLOCK
"""


def drawdown(fraction: float) -> risk_pb2.RiskInputs:
    return risk_pb2.RiskInputs(portfolio_values=[100.0, 100.0 * (1 - fraction)])


def test_evaluate_with_several_rules_broken_reports_each_and_enforces_the_worst(
    serve: Callable[..., Any],
) -> None:
    answer = serve(SEVERAL_RULES).evaluate(drawdown(0.25), request_id="r-1")
    assert answer.action == HALT
    assert [breach.rule for breach in answer.breaches] == ["warn", "watched", "halt"]
    halt = answer.breaches[2]
    assert (halt.metric, halt.value, halt.limit) == ("max_drawdown", 0.25, 0.2)
    assert halt.headroom == 0.2 - 0.25
    assert halt.severity == "critical"
    assert [breach.shadow for breach in answer.breaches] == [False, True, False]
    assert answer.request_id == answer.metrics.request_id == "r-1"
    assert answer.metrics.metric_values["max_drawdown"] == 0.25


def test_evaluate_with_a_shadow_rule_only_allows(serve: Callable[..., Any]) -> None:
    service = serve(SEVERAL_RULES.replace("over: 0.01", "over: 0.9"))
    answer = service.evaluate(drawdown(0.06))
    assert answer.action == ALLOW
    assert [breach.rule for breach in answer.breaches] == ["watched"]
    (recorded,) = service.all_decisions()
    assert [breach.shadow for breach in recorded.breaches] == [True]


def test_evaluate_while_halted_answers_the_halt_until_a_worse_one_replaces_it(
    serve: Callable[..., Any],
) -> None:
    service = serve(SEVERAL_RULES)
    first = service.evaluate(drawdown(0.25))
    assert service.evaluate(drawdown(0.0)).halt == first.halt
    worse = service.evaluate(drawdown(0.6))
    assert worse.action == LIQUIDATE
    assert worse.halt.rule == "ruin"
    assert service.evaluate(drawdown(0.25)).action == LIQUIDATE
    service.resume("default")
    assert service.evaluate(drawdown(0.0)).action == ALLOW


@pytest.mark.parametrize(
    "inputs",
    [
        risk_pb2.RiskInputs(),
        risk_pb2.RiskInputs(portfolio_values=[math.nan, 100.0]),
        risk_pb2.RiskInputs(portfolio_values=[100.0, math.inf]),
        risk_pb2.RiskInputs(portfolio_values=[0.0, 0.0]),
        risk_pb2.RiskInputs(portfolio_values=[-1.0, -2.0]),
    ],
)
def test_evaluate_with_an_unavailable_metric_fails_closed(
    serve: Callable[..., Any], inputs: risk_pb2.RiskInputs
) -> None:
    answer = serve(SEVERAL_RULES).evaluate(inputs)
    assert answer.action == LIQUIDATE
    for breach in answer.breaches:
        assert not breach.HasField("value")
        assert not breach.HasField("headroom")
        assert "portfolio_values" in breach.reason


def test_evaluate_with_a_loss_of_more_than_everything_liquidates_and_stays_so(
    serve: Callable[..., Any],
) -> None:
    service = serve(DEFAULT_POLICY.read_text().removesuffix("...\n"))
    first = service.evaluate(drawdown(1.2))
    assert first.action == LIQUIDATE
    assert (first.halt.rule, first.halt.action) == ("ruin", LIQUIDATE)
    assert first.metrics.metric_values["max_drawdown"] == 1.2
    # Whether the next bar is back where it was, or the history begins anew.
    for values in ([100.0, -20.0, 100.0], [100.0], [-20.0, -20.0], [100.0, 100.0]):
        answer = service.evaluate(risk_pb2.RiskInputs(portfolio_values=values))
        assert answer.action == LIQUIDATE
        assert answer.halt == first.halt
    service.stop()
    service = serve(DEFAULT_POLICY.read_text().removesuffix("...\n"))
    assert service.evaluate(drawdown(0.0)).halt == first.halt


def test_evaluate_with_a_junk_book_of_what_is_not_held_still_halts(
    serve: Callable[..., Any],
) -> None:
    level = risk_pb2.BookLevel
    junk = risk_pb2.OrderBook(bids=[level(price=3, size=1)], asks=[level(price=2, size=-1)])
    inputs = risk_pb2.RiskInputs(
        portfolio_values=[100.0, 55.0],
        positions=[risk_pb2.Position(symbol="BTC", quantity=1.0, price=10.0)],
        order_books={"DOGE": junk},
    )
    answer = serve(SEVERAL_RULES).evaluate(inputs)
    assert (answer.action, answer.halt.rule) == (HALT, "halt")


def test_evaluate_with_a_future_time_throttles_as_without_the_turnover(
    serve: Callable[..., Any],
) -> None:
    service = serve(
        "rules: [{name: much, when: {metric: hourly_turnover, over: 4}, action: THROTTLE}]"
    )
    now, trade = 1.7e9, risk_pb2.Trade
    traded = [trade(timestamp=now - 10.0, notional=9e9)]
    for trades, bars in (
        (traded, [now - 60.0]),
        ([*traded, trade(timestamp=now + 86_400.0, notional=0.0)], [now - 60.0]),
        (traded, [now * 1e3]),
    ):
        inputs = risk_pb2.RiskInputs(
            portfolio_values=[1e6], timestamps=bars, trades=trades, capital_base=1e6, now=now
        )
        assert service.evaluate(inputs).action == risk_pb2.ACTION_THROTTLE


def test_evaluate_with_a_sell_of_a_thousand_at_a_cent_blocks(serve: Callable[..., Any]) -> None:
    service = serve(PRE_TRADE)
    answer = service.evaluate(holding(0.0), intended_order=order(-1_000.0, price=0.01))
    assert answer.action == BLOCK
    assert answer.pre_trade.order_notional == 100_000.0
    unpriced = holding(0.0, order_books={})
    unpriced.positions[0].price = 0.0
    answer = service.evaluate(unpriced, intended_order=order(-1.0, price=0.01))
    assert answer.action == BLOCK
    (reason,) = {item.reason for item in answer.breaches if item.rule == "size"}
    assert "no market price of BTC is known" in reason


def test_evaluate_with_a_window_remembers_it_over_a_restart(serve: Callable[..., Any]) -> None:
    service = serve(WINDOWED)
    assert service.evaluate(drawdown(0.15)).action == ALLOW
    service.stop()
    service = serve(WINDOWED)
    assert service.evaluate(drawdown(0.0)).action == ALLOW
    assert service.evaluate(drawdown(0.15)).action == BLOCK


def order(quantity: float, price: float = 100.0) -> risk_pb2.IntendedOrder:
    return risk_pb2.IntendedOrder(symbol="BTC", quantity=quantity, price=price)


def holding(quantity: float, **fields: Any) -> risk_pb2.RiskInputs:
    level = risk_pb2.BookLevel
    return risk_pb2.RiskInputs(
        positions=[risk_pb2.Position(symbol="BTC", quantity=quantity, price=100.0)],
        **{
            "capital_base": 1_000.0,
            "average_daily_volumes": {"BTC": 500.0},
            "order_books": {
                "BTC": risk_pb2.OrderBook(
                    bids=[level(price=99.9, size=100.0)], asks=[level(price=100.1, size=100.0)]
                )
            },
            **fields,
        },
    )


def test_evaluate_with_an_order_within_its_limits_allows_and_says_how_much_more(
    serve: Callable[..., Any],
) -> None:
    answer = serve(PRE_TRADE).evaluate(holding(5.0), intended_order=order(10.0))
    check = answer.pre_trade
    assert answer.action == ALLOW
    assert (check.position_after, check.notional_after, check.order_notional) == (15, 1500, 1000)
    assert check.gross_leverage_after == 1.5
    assert check.adv_participation_after == 0.03
    assert check.book_impact == pytest.approx(0.001)
    assert check.allowed_quantity == 15.0
    assert check.binding_limit == "pre_trade.gross_leverage"
    assert dict(check.unavailable) == {}


def test_evaluate_with_an_order_over_its_limit_demands_the_action_and_is_recorded(
    serve: Callable[..., Any],
) -> None:
    service = serve(PRE_TRADE)
    answer = service.evaluate(holding(5.0), intended_order=order(-60.0))
    assert answer.action == BLOCK
    assert {breach.rule for breach in answer.breaches} == {"size", "leverage", "liquidity"}
    assert answer.pre_trade.allowed_quantity == -25.0
    (recorded,) = service.all_decisions()
    assert recorded.pre_trade == answer.pre_trade
    allowed = service.evaluate(
        holding(5.0), intended_order=order(answer.pre_trade.allowed_quantity)
    )
    assert allowed.action == ALLOW


def test_evaluate_with_an_order_that_reduces_the_position_is_let_through(
    serve: Callable[..., Any],
) -> None:
    answer = serve(PRE_TRADE).evaluate(holding(300.0), intended_order=order(-40.0))
    assert answer.action == ALLOW
    assert answer.pre_trade.reduces_only


@pytest.mark.parametrize(
    ("missing", "rule"),
    [
        ({"capital_base": None}, "leverage"),
        ({"average_daily_volumes": {}}, "liquidity"),
        ({"order_books": {}}, "liquidity"),
    ],
)
def test_evaluate_with_data_missing_for_an_order_fails_closed(
    serve: Callable[..., Any], missing: dict[str, Any], rule: str
) -> None:
    answer = serve(PRE_TRADE).evaluate(holding(5.0, **missing), intended_order=order(1.0))
    assert answer.action > ALLOW
    assert rule in {breach.rule for breach in answer.breaches}
    assert not answer.pre_trade.HasField("allowed_quantity")
    assert answer.pre_trade.unavailable


def test_evaluate_with_no_order_does_not_ask_about_one(serve: Callable[..., Any]) -> None:
    answer = serve(PRE_TRADE).evaluate(risk_pb2.RiskInputs())
    assert answer.action == ALLOW
    assert not answer.HasField("pre_trade")


def test_evaluate_under_the_shipped_policy_allows_a_calm_account_and_halts_a_crashed_one(
    default_service: Any, real_account: Callable[..., RiskInputs]
) -> None:
    inputs = risk_inputs_to_message(real_account(9_000, 1_100))
    rules = [rule.partition(":")[0] for rule in default_service.policy().rules]
    answer = default_service.evaluate(inputs, account="shipped")
    assert {breach.rule for breach in answer.breaches} <= set(rules)
    inputs.portfolio_values[-1] *= 0.6
    assert default_service.evaluate(inputs, account="shipped").action >= HALT


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"account": ""}, {"account"}),
        ({"name": " "}, {"name"}),
        ({"reason": ""}, {"reason"}),
        ({"role": ""}, {"role"}),
        ({"role": "intern"}, {"role"}),
        ({"name": "", "reason": "", "role": ""}, {"name", "reason", "role"}),
        ({"reason": "x" * 1025}, {"reason"}),
    ],
)
def test_resume_with_something_missing_or_a_wrong_role_stays_halted(
    serve: Callable[..., Any],
    field_violations: Callable[[grpc.RpcError], dict[str, str]],
    fields: dict[str, str],
    wrong: set[str],
) -> None:
    service = serve(SEVERAL_RULES)
    service.evaluate(drawdown(0.25))
    request = {
        "account": "default",
        "name": "A. Person",
        "reason": "data error",
        "role": "risk_officer",
        **fields,
    }
    with pytest.raises(grpc.RpcError) as caught:
        service.stub.Resume(risk_pb2.ResumeRequest(**request))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert set(field_violations(caught.value)) == wrong
    assert service.evaluate(drawdown(0.0)).action == HALT


def test_resume_of_an_account_that_is_not_halted_is_refused(serve: Callable[..., Any]) -> None:
    service = serve(SEVERAL_RULES)
    service.evaluate(drawdown(0.0), account="calm")
    for account in ("calm", "unknown"):
        with pytest.raises(grpc.RpcError) as caught:
            service.resume(account)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert [item.kind for item in service.all_decisions()] == ["evaluate"]


def test_resume_with_the_account_still_over_its_limit_halts_again_at_the_next_evaluate(
    serve: Callable[..., Any],
) -> None:
    service = serve(SEVERAL_RULES)
    first = service.evaluate(drawdown(0.25))
    assert not service.resume("default").halt.halted
    again = service.evaluate(drawdown(0.25))
    assert again.action == HALT
    assert again.halt.decision_id != first.halt.decision_id
    kinds = [(item.kind, item.action) for item in service.all_decisions()]
    assert kinds == [("evaluate", HALT), ("resume", ALLOW), ("evaluate", HALT)]


def test_list_decisions_with_small_pages_gives_each_once_with_all_that_was_decided(
    serve: Callable[..., Any],
) -> None:
    service = serve(SEVERAL_RULES)
    answers = [service.evaluate(drawdown(n / 1000), account=f"a{n % 2}") for n in range(7)]
    listed = service.all_decisions(page_size=2)
    assert [item.decision_id for item in listed] == [answer.decision_id for answer in answers]
    assert [item.sequence for item in listed] == [1, 2, 3, 4, 5, 6, 7]
    for item, answer in zip(listed, answers, strict=True):
        assert item.metric_values == answer.metrics.metric_values
        assert item.policy_digest == answer.metrics.policy_digest
        assert list(item.breaches) == list(answer.breaches)
        assert len(item.inputs_digest) == 64
    request = risk_pb2.ListDecisionsRequest(account="a1", page_size=10)
    assert [item.sequence for item in service.stub.ListDecisions(request).decisions] == [6, 4, 2]


@pytest.mark.parametrize("fields", [{"page_token": "nonsense"}, {"page_size": -1}])
def test_list_decisions_with_a_bad_page_names_the_field(
    serve: Callable[..., Any],
    field_violations: Callable[[grpc.RpcError], dict[str, str]],
    fields: dict[str, Any],
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        serve().stub.ListDecisions(risk_pb2.ListDecisionsRequest(**fields))
    assert set(field_violations(caught.value)) == set(fields)


def test_metrics_with_decisions_show_values_breaches_actions_and_halts(
    serve: Callable[..., Any],
) -> None:
    service = serve(SEVERAL_RULES, metrics_listen="127.0.0.1:0")
    service.evaluate(drawdown(0.25), account="desk")
    service.calculate(drawdown(0.1))
    samples = service.metrics()
    assert samples['tradewind_risk_metric{account="desk",metric="max_drawdown"}'] == 0.25
    assert math.isnan(samples['tradewind_risk_metric{account="desk",metric="var_99"}'])
    assert samples['tradewind_risk_decisions_total{action="HALT",kind="evaluate"}'] == 1
    breaches = 'tradewind_risk_breaches_total{action="LIQUIDATE",rule="watched",shadow="true"}'
    assert samples[breaches] == 1
    assert samples["tradewind_risk_halted_accounts"] == 1
    assert samples["tradewind_risk_audit_failing"] == 0
    assert samples["tradewind_risk_calculation_seconds_count"] == 2
    digest = service.policy().policy_digest
    assert samples[f'tradewind_risk_policy{{digest="{digest}"}}'] == 1
    service.resume("desk")
    assert service.metrics()["tradewind_risk_halted_accounts"] == 0


def test_metrics_with_many_accounts_show_the_latest_fifty(
    serve: Callable[..., Any],
) -> None:
    service = serve(metrics_listen="127.0.0.1:0")
    for number in range(60):
        service.evaluate(drawdown(0.0), account=f"a{number}")
    shown = [name for name in service.metrics() if name.startswith("tradewind_risk_metric{")]
    assert len([name for name in shown if 'metric="max_drawdown"' in name]) == 50
    assert any('account="a59"' in name for name in shown)
    assert not any('account="a9"' in name for name in shown)
