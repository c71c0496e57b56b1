"""The study of risk in training: that each way trains, and what the table says of the figures."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tradewind.errors import TrainingError
from tradewind.market import Bars, load_sample
from trainer_service.environment import IntradayTradingEnv
from trainer_service.training.workspace import held_out_episode

SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "risk_study.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("risk_study", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_study_with_one_short_seed_trains_and_draws_every_way(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "WAYS", {name: study.WAYS[name] for name in ("penalty",)})
    monkeypatch.setattr(study, "HALVINGS", 4)
    kept = tmp_path / "trainings.json"
    found = study.train_all("BTC", seeds=1, timesteps=2_100, kept=kept)
    assert set(study.FIGURES) <= set(found["penalty"][0])
    monkeypatch.setattr(study, "train_and_judge", None)  # nothing is trained twice
    assert study.train_all("BTC", seeds=1, timesteps=2_100, kept=kept) == found
    study.draw(found, tmp_path / "study.svg")
    assert "<svg" in (tmp_path / "study.svg").read_text()


def test_study_with_its_ways_gives_each_a_configuration_of_its_own(study: ModuleType) -> None:
    configs = {way: study.training_config(way, 0, 10_000) for way in study.WAYS}
    assert len({config.model_dump_json() for config in configs.values()}) == len(study.WAYS)
    assert configs["penalty"].risk_config.penalty_weight > 0.0
    assert configs["Lagrangian"].risk_config.lagrangian.constraints == study.CONSTRAINTS


def test_study_refuses_constraints_that_so_short_a_training_cannot_learn(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "WAYS", {"Lagrangian": study.WAYS["Lagrangian"]})
    with pytest.raises(TrainingError, match="would have no effect"):
        study.train_all("BTC", seeds=1, timesteps=2_100)


@pytest.fixture(scope="module")
def held_out(study: ModuleType) -> IntradayTradingEnv:
    config = study.training_config("none", 0, 10_000)
    bars = load_sample("BTC").slice(10_000, 11_500)
    return held_out_episode(IntradayTradingEnv(bars, config.environment), bars)


def test_constant_position_is_an_account_that_is_rebalanced_at_every_open(
    study: ModuleType, held_out: IntradayTradingEnv
) -> None:
    bars, config, share = held_out.bars, held_out.config, 0.5
    assert isinstance(bars, Bars)
    start = held_out.feature_spec.lookback - 1
    cash, quantity = config.initial_cash, 0.0
    expected = [cash]
    for at in range(start + 1, len(bars)):
        price = bars.open[at]
        equity = cash + quantity * price
        change = share * equity / price - quantity
        if abs(change) * price > config.rebalance_threshold * equity:
            paid = price * (1.0 + math.copysign(config.slippage, change))
            cost = config.transaction_cost * abs(change) * paid
            cash, quantity = cash - change * paid - cost, quantity + change
        expected.append(cash + quantity * bars.close[at])
    # The environment sizes a position on the equity that is left after its costs: a hair less.
    np.testing.assert_allclose(study.constant_position(held_out, share), expected, rtol=2e-4)


def test_matched_position_has_the_drawdown_of_the_policy_and_says_what_it_earned(
    study: ModuleType, held_out: IntradayTradingEnv
) -> None:
    equity = study.constant_position(held_out, 0.4)
    drawdown = study.max_drawdown(equity)
    found = study.matched(held_out, {"max_drawdown": drawdown, "return": 0.3})
    assert found["matched_position"] == pytest.approx(0.4, abs=0.01)
    assert found["matched_max_drawdown"] == pytest.approx(drawdown, rel=0.02)
    assert found["matched_return"] == pytest.approx(equity[-1] / equity[0] - 1.0, abs=0.002)
    assert found["over_matched"] == pytest.approx(0.3 - found["matched_return"])
    whole = study.matched(held_out, {"max_drawdown": 0.99, "return": 0.0})
    assert whole["matched_position"] == pytest.approx(1.0, abs=1e-4)
    flat = study.matched(held_out, {"max_drawdown": 0.0, "return": 0.0})
    assert (flat["matched_position"], flat["matched_return"]) == (0.0, 0.0)


def test_two_week_drawdown_is_the_mean_over_stretches_and_below_that_of_all_bars(
    study: ModuleType,
) -> None:
    # Falls by 1 % in each of two stretches and never recovers: 1.99 % in all.
    fall = np.linspace(1.0, 0.99, 673)
    equity = np.concatenate([fall, 0.99 * fall[1:]])
    assert study.two_week_drawdown(equity) == pytest.approx(0.01)
    assert study.max_drawdown(equity) == pytest.approx(1.0 - 0.99**2)


def test_study_with_several_seeds_prints_means_with_intervals(study: ModuleType) -> None:
    mean, half = study.interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2)
    # Student's t with two degrees of freedom, 97.5 %: 4.303
    assert half == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)
    runs = [{"return": value, "exposure": value, "two_weeks": value} for value in (0.1, 0.2, 0.3)]
    text = study.table({"none": [*runs, {"return": 0.2, "exposure": 0.2}]})
    assert "20.00% ±" in text
    assert "unknown for 1 of 4" in text
