"""The page of a walk-forward evaluation."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
import pytest

from tradewind.market import Bars
from tradewind.risk import RiskPolicy
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.evaluation import WalkForwardConfig
from trainer_service.research.report import render_walk_forward
from trainer_service.research.walk_forward import WalkForward, walk_forward
from trainer_service.training.agent import create_trainer_agent
from trainer_service.training.config import TrainingConfig

MakeValues = Callable[..., dict[str, Any]]

EVIL = "</script><script>alert(1)</script>"


@pytest.fixture
def config(training_values: MakeValues) -> TrainingConfig:
    return create_trainer_agent(training_values(evaluation={"resamples": 200})).config


@pytest.fixture
def found(config: TrainingConfig, btc: Bars) -> WalkForward:
    env = IntradayTradingEnv(btc.slice(0, 1_400), EnvironmentConfig(episode_bars=50))
    return walk_forward(config, env, WalkForwardConfig(folds=2))


def render(found: WalkForward, config: TrainingConfig, symbol: str = "BTC") -> str:
    policy = RiskPolicy.from_yaml(config.risk_config.policy_yaml)
    return render_walk_forward(found, config=config, symbol=symbol, risk_policy=policy).decode()


def read_charts(page: str) -> dict[str, Any]:
    match = re.search(r'<script [^>]*id="charts">(.*?)</script>', page, flags=re.DOTALL)
    assert match is not None
    return {chart["id"]: chart for chart in json.loads(match.group(1))}


def decode(array: dict[str, str]) -> Any:
    return np.frombuffer(base64.b64decode(array["bdata"]), "<" + array["dtype"])


def test_page_needs_nothing_but_itself_and_draws_every_chart(
    found: WalkForward, config: TrainingConfig
) -> None:
    page = render(found, config, EVIL)

    assert re.findall(r"(?:src|href)\s*=|https?://|@import|url\(", page) == []
    assert EVIL not in page
    charts = read_charts(page)
    assert set(charts) == {"equity", "folds"}
    for name, chart in charts.items():
        assert f'id="{name}"' in page
        figure = go.Figure(chart["data"], chart["layout"])  # plotly checks every name and value
        assert figure.layout.xaxis.title.text


def test_page_strings_the_folds_together_and_marks_where_each_begins(
    found: WalkForward, config: TrainingConfig
) -> None:
    chart = read_charts(render(found, config))["equity"]

    (growth,) = (
        trace for trace in chart["data"] if trace["name"] == "Policy" and "yaxis" not in trace
    )
    returns = [fold.evaluation.figures["return"] for fold in found.folds]
    last = 100.0 * (np.prod(1.0 + np.array(returns)) - 1.0)
    assert decode(growth["y"])[-1] == pytest.approx(last, rel=1e-5)
    starts = [shape["x0"] for shape in chart["layout"]["shapes"]]
    begins = [fold.evaluation.policy.timestamps for fold in found.folds]
    assert starts[0] == 1e3 * begins[0][0]
    # The end of the first fold, after which the second one trades.
    assert starts[1] == 1e3 * begins[0][-1]


def test_page_gives_the_figures_of_every_fold_and_of_all_of_them(
    found: WalkForward, config: TrainingConfig
) -> None:
    page = render(found, config)

    bodies = re.findall(r'<tbody class="fold">(.*?)</tbody>', page, flags=re.DOTALL)
    assert len(bodies) == 3
    figures = [fold.evaluation.figures for fold in found.folds]
    for body, values in zip(bodies, figures, strict=False):
        text = re.sub(r"<[^>]+>|\s+", " ", body)
        for name in ("return", "random_return"):
            assert f"{100 * values[name]:+.1f} %".replace("-", "−") in text
        assert f"{100 * values['expected_shortfall_95']:.2f} %" in text
        assert f"{100 * values['deflated_sharpe']:.1f} %" in text
    low, high = (found.summary[f"compound_excess_return_{end}"] for end in ("low", "high"))
    interval = f"{100 * low:+.1f} % to {100 * high:+.1f} %".replace("-", "−")
    assert f"interval of the return over buy and hold is {interval}" in page
    above = found.summary["folds_above_buy_and_hold"]
    assert f"{above:.0f} of 2 folds did better than buy and hold" in page


def test_page_with_an_account_that_lost_everything_has_no_curve(
    found: WalkForward, config: TrainingConfig
) -> None:
    kept = {name: it for name, it in found.summary.items() if not name.startswith("compound_")}

    page = render(replace(found, stitched=None, summary=kept), config)

    assert "An account lost everything" in page
    assert set(read_charts(page)) == {"folds"}
