"""Walk-forward evaluation, and that nothing of the future reaches a training."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tradewind.jobs import TrainingProgress
from tradewind.market import Bars
from tradewind.market.jumps import JumpWarning
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.evaluation import WalkForwardConfig
from trainer_service.research.walk_forward import walk_forward
from trainer_service.training.agent import create_trainer_agent
from trainer_service.training.workspace import Workspace

MakeValues = Callable[..., dict[str, Any]]


def make_env(bars: Bars) -> IntradayTradingEnv:
    return IntradayTradingEnv(bars, EnvironmentConfig(episode_bars=50))


def scaled(bars: Bars, factor: NDArray[np.float64]) -> Bars:
    columns = {n: getattr(bars, n) * factor for n in ("open", "high", "low", "close", "volume")}
    return replace(bars, **columns)


def with_other_future(bars: Bars, start: int) -> Bars:
    """The same bars up to `start`; from there on prices go the other way."""
    factor = np.ones(len(bars))
    factor[start:] = np.linspace(1.0, 3.0, len(bars) - start)
    return scaled(bars, factor)


def with_other_past(bars: Bars, stop: int) -> Bars:
    """The same bars from `stop` on; before it, everything is five times as large."""
    return scaled(bars, np.where(np.arange(len(bars)) < stop, 5.0, 1.0))


def test_walk_forward_trains_on_the_past_and_sums_up_every_fold(
    training_values: MakeValues, btc: Bars
) -> None:
    seen: list[tuple[int, str]] = []

    def listen(fold: int, progress: TrainingProgress) -> None:
        seen.append((fold, progress.phase.value))

    bars = btc.slice(0, 1_400)
    found = walk_forward(
        training_values(), make_env(bars), WalkForwardConfig(folds=2), on_progress=listen
    )

    assert list(dict.fromkeys(seen)) == [
        (fold, phase) for fold in (0, 1) for phase in ("preparing", "training", "evaluating")
    ]
    lookback = make_env(bars).feature_spec.lookback
    for fold in found.folds:
        first_decision = fold.evaluation.policy.timestamps[0]
        last_learnt = bars.close_times_ns[fold.split.train[1] - 1] / 1e9
        assert first_decision - last_learnt == pytest.approx(lookback * 1_800.0)
    returns = [fold.evaluation.figures["return"] for fold in found.folds]
    summary = found.summary
    assert summary["return_mean"] == pytest.approx(np.mean(returns))
    assert (summary["return_min"], summary["return_max"]) == (min(returns), max(returns))
    assert summary["compound_return"] == pytest.approx(np.prod(1.0 + np.array(returns)) - 1.0)
    assert summary["compound_return_low"] <= summary["compound_return_high"]
    gains = float(sum(value > 0.0 for value in returns))
    assert (summary["folds"], summary["folds_with_gain"]) == (2.0, gains)


def test_train_with_other_held_out_bars_learns_the_same_network(
    training_values: MakeValues, btc: Bars
) -> None:
    values = training_values(
        training_params={"total_timesteps": 256, "normalize_observations": True}
    )
    bars = btc.slice(0, 1_000)
    trainer = create_trainer_agent(values)

    one = trainer.train(make_env(bars)).metadata
    other = trainer.train(make_env(with_other_future(bars, 800))).metadata
    shifted = trainer.train(make_env(with_other_future(bars, 700))).metadata

    assert one.sha256 == other.sha256 != shifted.sha256
    assert one.evaluation["buy_and_hold_return"] != other.evaluation["buy_and_hold_return"]


def test_prepare_with_held_out_bars_keeps_features_on_their_side_of_the_border(
    training_values: MakeValues, btc: Bars
) -> None:
    bars = btc.slice(0, 1_000)
    config = create_trainer_agent(training_values()).config
    first = Workspace.prepare(make_env(bars), config).held_out_env
    with pytest.warns(JumpWarning, match="row 801"):  # where one past meets the other
        changed = make_env(with_other_past(bars, 800))
    second = Workspace.prepare(changed, config).held_out_env
    assert first is not None
    assert second is not None

    observation, info = first.reset()
    other_observation, _ = second.reset()

    np.testing.assert_array_equal(observation, other_observation)
    assert info["start"] == first.feature_spec.lookback - 1
    assert first.bars.timestamps_ns[0] == bars.timestamps_ns[800]
