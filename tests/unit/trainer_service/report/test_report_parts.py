"""Numbers, sentences and curves of a report."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.reporting.style import decimate, encode
from trainer_service.callbacks import MetricSeries
from trainer_service.report.learning import learning_panels
from trainer_service.report.tables import figure_rows, tiles, verdicts

FIGURES = {
    "return": 0.1234,
    "return_low": -0.05,
    "return_high": 12.0,
    "excess_return": -0.002,
    "excess_return_low": -0.3,
    "excess_return_high": 0.2,
    "deflated_sharpe": 0.97,
    "trials": 40.0,
    "confidence": 0.95,
    "max_drawdown": 0.3,
    "trades": 12_345.0,
    "always_flat_return": 0.0,
}


def test_figure_rows_show_signs_separators_intervals_and_what_is_missing() -> None:
    rows = {
        row.label: [(cell.text, cell.interval) for cell in row.cells]
        for row in figure_rows(FIGURES)
    }

    assert rows["Return"][0] == ("+12.3 %", "−5.0 % to +1,200.0 %")
    assert rows["Return"][3] == ("0.0 %", "")
    assert rows["Trades"][0] == ("12,345", "")
    assert rows["Sharpe ratio"] == [("–", "")] * 4


def test_tiles_say_when_a_limit_is_broken() -> None:
    broken = {tile.label: tile for tile in tiles(FIGURES, {"max_drawdown": 0.25})}["Max drawdown"]
    kept = {tile.label: tile for tile in tiles(FIGURES, {"max_drawdown": 0.35})}["Max drawdown"]

    assert (broken.value, broken.note, broken.breach) == ("30.0 %", "above the limit 25.0 %", True)
    assert (kept.note, kept.breach) == ("limit 35.0 %", False)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-0.3, 0.2, "do not tell the policy from buy and hold"),
        (0.1, 0.2, "better than buy and hold"),
        (-0.3, -0.1, "worse than buy and hold"),
    ],
)
def test_verdicts_say_no_more_than_the_interval(low: float, high: float, says: str) -> None:
    first, second = verdicts(FIGURES | {"excess_return_low": low, "excess_return_high": high})

    assert says in first
    assert "best of 40 trials without skill would show with probability 97.0 %." in second
    assert verdicts({"return": 0.1}) == []


@given(count=st.integers(1, 20_000), seed=st.integers(0, 100))
def test_decimate_with_any_series_keeps_ends_and_extremes(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(count).cumsum()

    chosen = decimate(values)

    assert len(chosen) <= 4_000
    assert (np.diff(chosen) > 0).all()
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert values[chosen].max() == values.max()
    assert values[chosen].min() == values.min()


def test_learning_panels_with_multipliers_show_them_together_between_risk_and_losses() -> None:
    curve = MetricSeries([1, 2, 3], [0.1, 0.3, 0.2])
    flat = MetricSeries([1, 2, 3], [0.2, 0.2, 0.2])
    single = MetricSeries([1], [0.2])
    history = {
        "train/loss": curve,
        "train/clip_range": flat,
        "time/fps": curve,
        "multiplier/max_drawdown": curve,
        "multiplier/expected_shortfall_95": flat,
        "constraint/max_drawdown": curve,
        "risk/score": curve,
        "risk/penalty": single,
        "rollout/ep_rew_mean": curve,
        "custom/figure": curve,
    }

    panels = learning_panels(history, early_stop_threshold=0.8)

    titles = [panel.title for panel in panels]
    assert titles == [
        "Reward",
        "Risk score",
        "Risk multipliers",
        "Constraint: max drawdown",
        "Loss",
        "Figure",
    ]
    names = [trace["name"] for trace in panels[2].chart["data"]]
    assert names == ["expected_shortfall_95", "max_drawdown"]
    assert panels[1].chart["data"][-1]["name"] == "Stops at 0.8"


def test_encode_gives_what_a_browser_decodes() -> None:
    packed = encode(np.array([1.5, np.nan, -2.0]))

    decoded = np.frombuffer(base64.b64decode(packed["bdata"]), dtype="<f4")
    np.testing.assert_array_equal(decoded, np.array([1.5, np.nan, -2.0], dtype=np.float32))


def test_verdicts_say_whether_constraints_were_kept_in_training_and_on_held_out_bars() -> None:
    figures = {
        "constraint_satisfied": 0.0,
        "constraint_updates": 12.0,
        "constraint_max_drawdown": 1.42,
        "held_out_constraint_satisfied": 1.0,
        "held_out_constraint_max_drawdown": 0.8,
        "held_out_constraint_episodes": 10.0,
    }
    broken, kept, few = verdicts(figures)
    assert "broken in the latest episodes of the training: max drawdown at 1.42" in broken
    assert "kept in episodes of that length on the held-out bars: max drawdown at 0.80" in kept
    assert "updated 12 times only" in few
    assert len(verdicts({**figures, "constraint_updates": 50.0})) == 2
