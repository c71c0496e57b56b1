"""Which kind of risk-awareness pays: none, a penalty, constraints, or the tail of the return.

    python examples/risk_study.py --output runs/study

Trains QR-DQN five times in each way, with seeds 0 to 4, on the bars before the held-out ones, and
judges each policy on the held-out bars, costs included. Prints a table of means over the seeds with
95 % confidence intervals (Student's t), writes every figure to study.json and draws study.svg. One
that was interrupted goes on by the same command.

A policy that carries less risk has to be compared with what carries as little without a policy: to
each one belongs a constant position, the share of equity whose drawdown on the same bars, after the
same costs, is the policy's. The constraint of the Lagrangian is on the drawdown of an episode of
the training, two weeks; `two_weeks` is the mean of that over the held-out bars.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from scipy import stats

from tradewind.market import load_sample, split_bars
from tradewind.market.bars import FloatArray
from trainer_service.environment import IntradayTradingEnv
from trainer_service.evaluation.episode import play_to
from trainer_service.progress import ProgressReporter
from trainer_service.research.judging import train_and_judge
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import held_out_episode

HELD_OUT = 0.2
HALVINGS = 16
CONSTRAINTS = {"max_drawdown": 0.10, "expected_shortfall_95": 0.02}
# What each way changes; the rest is the same for all of them.
WAYS: dict[str, dict[str, Any]] = {
    "none": {"risk": {"penalty_weight": 0.0}, "cvar_alpha": 1.0},
    "penalty": {"risk": {"penalty_weight": 0.1}, "cvar_alpha": 1.0},
    "Lagrangian": {
        "risk": {"penalty_weight": 0.0, "lagrangian": {"constraints": CONSTRAINTS}},
        "cvar_alpha": 1.0,
    },
    "CVaR 25 %": {"risk": {"penalty_weight": 0.0}, "cvar_alpha": 0.25},
}
FIGURES = {
    "return": "return",
    "exposure": "exposure",
    "max_drawdown": "max drawdown, all bars",
    "two_weeks": "max drawdown, two weeks",
    "expected_shortfall_95": "ES 95 % of a bar",
    "matched_position": "constant position of that drawdown",
    "matched_return": "its return",
    "over_matched": "return over it",
}
DRAWN = ("return", "max_drawdown", "two_weeks", "over_matched")
LIMITED = {"two_weeks": CONSTRAINTS["max_drawdown"]}
BARS_OF_TWO_WEEKS = 672


def training_config(way: str, seed: int, timesteps: int) -> JobConfig:
    """The configuration of one training."""
    changes = WAYS[way]
    return parse_training_config(
        {
            "algorithm": "QR-DQN",
            "algo_params": {
                "learning_rate": 0.0005,
                "buffer_size": 50_000,
                "learning_starts": 2_000,
                "batch_size": 64,
                "train_freq": 1,
                "gradient_steps": 4,
                "target_update_interval": 2_000,
                "exploration_fraction": 0.4,
                "exploration_final_eps": 0.02,
                "policy_kwargs": {
                    "net_arch": [64, 64],
                    "n_quantiles": 32,
                    "cvar_alpha": changes["cvar_alpha"],
                },
            },
            "training_params": {"total_timesteps": timesteps, "seed": seed, "n_envs": 16},
            # A study compares where each way ends: none of its trainings is stopped early.
            "risk_config": {"enabled": True, "early_stop_threshold": None, **changes["risk"]},
            "environment": {"transaction_cost": 0.001, "slippage": 0.0002},
        },
        JobConfig,
    )


def train_all(
    symbol: str, seeds: int, timesteps: int, kept: Path | None = None
) -> dict[str, list[dict[str, float]]]:
    """Figures on the held-out bars: by way, one entry a seed.

    With a file for them, they are kept after each training, and a study that was interrupted goes
    on with the first that is not there.
    """
    ended: dict[str, dict[str, float]] = {}
    if kept is not None and kept.exists():
        ended = json.loads(kept.read_text())
    past, future = split_bars(load_sample(symbol), HELD_OUT)
    found: dict[str, list[dict[str, float]]] = {}
    for way in WAYS:
        for seed in range(seeds):
            name = f"{symbol}, {timesteps} steps, {way}, seed {seed}"
            if name in ended:
                found.setdefault(way, []).append(ended[name])
                continue
            started = time.monotonic()
            config = training_config(way, seed, timesteps)
            env = IntradayTradingEnv(past, config.environment)
            reporter = ProgressReporter(lambda _: None, timesteps)
            judged = train_and_judge(config, env, past, future, reporter)
            figures = judged.figures | {"two_weeks": two_week_drawdown(judged.policy.equity)}
            figures |= matched(held_out_episode(env, future), judged.figures)
            figures["buy_and_hold_two_weeks"] = two_week_drawdown(judged.buy_and_hold.equity)
            found.setdefault(way, []).append(figures)
            ended[name] = figures
            if kept is not None:
                new = kept.with_suffix(".new")
                new.write_text(json.dumps(ended))
                new.replace(kept)
            shown = ", ".join(f"{key} {figures.get(key, math.nan):.4g}" for key in FIGURES)
            seconds = time.monotonic() - started
            print(f"{way}, seed {seed}: {shown} ({seconds:.0f} s)", flush=True)
    return found


def max_drawdown(equity: FloatArray) -> float:
    """Largest loss from a running peak, as a fraction of it."""
    return float((1.0 - equity / np.maximum.accumulate(equity)).max())


def two_week_drawdown(equity: FloatArray) -> float:
    """Mean of the largest drawdowns of the two-week stretches, one after the other."""
    starts = range(0, len(equity) - BARS_OF_TWO_WEEKS, BARS_OF_TWO_WEEKS)
    return statistics.fmean(max_drawdown(equity[at : at + BARS_OF_TWO_WEEKS + 1]) for at in starts)


def constant_position(env: IntradayTradingEnv, share: float) -> FloatArray:
    """Account of a position that is always this share of equity, after costs. Shape [steps + 1]."""
    return play_to(env, lambda: np.array([share])).equity


def matched(env: IntradayTradingEnv, figures: dict[str, float]) -> dict[str, float]:
    """The constant position whose drawdown is the policy's, and what it earns.

    Its share of equity is found by halving: the drawdown grows with it. One that not even the whole
    of equity has the drawdown of is the whole.
    """
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        if max_drawdown(constant_position(env, middle)) < figures["max_drawdown"]:
            low = middle
        else:
            high = middle
    equity = constant_position(env, low)
    earned = float(equity[-1] / equity[0] - 1.0)
    return {
        "matched_position": low,
        "matched_return": earned,
        "matched_max_drawdown": max_drawdown(equity),
        "over_matched": figures["return"] - earned,
    }


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval."""
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), float(stats.t.ppf(0.975, len(values) - 1)) * spread


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """The study as a Markdown table; a figure that some seed does not have is left out."""
    lines = [f"| | {' | '.join(FIGURES.values())} |", f"|---|{'---|' * len(FIGURES)}"]
    for way, runs in found.items():
        cells = [_cell([run[name] for run in runs if name in run], len(runs)) for name in FIGURES]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    reference = next(iter(found.values()))[0]
    for baseline in ("buy_and_hold", "always_flat"):
        values = [reference.get(f"{baseline}_{name}") for name in FIGURES]
        cells = [_number(value) for value in values]
        lines.append(f"| {baseline.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draws every seed as a dot, with mean and interval."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, name in zip(figure.subplots(1, len(DRAWN)), DRAWN, strict=True):
        for place, runs in enumerate(found.values()):
            values = [100.0 * run[name] for run in runs if name in run]
            axes.plot([place] * len(values), values, "o", color="#888888", alpha=0.6, markersize=4)
            if len(values) > 1:
                mean, half = interval(values)
                axes.errorbar(place + 0.2, mean, half, fmt="s", color="#0072b2", capsize=4)
        hold = next(iter(found.values()))[0].get(f"buy_and_hold_{name}")
        if hold is not None:
            axes.axhline(100.0 * hold, color="#d55e00", linestyle="--", linewidth=1)
        if name in LIMITED:
            axes.axhline(100.0 * LIMITED[name], color="#009e73", linestyle=":", linewidth=1.5)
        axes.set_title(f"{FIGURES[name]} (%)", fontsize=10)
        axes.set_xticks(range(len(found)), list(found), fontsize=8, rotation=20)
        axes.grid(axis="y", alpha=0.3)
    figure.suptitle(
        "dots: seeds; squares: mean and 95 % interval; dashed: buy and hold; dotted: constraint",
        fontsize=9,
    )
    figure.savefig(path)


def _cell(values: list[float], count: int) -> str:
    if len(values) < max(count, 2):
        return f"unknown for {count - len(values)} of {count}" if len(values) < count else "1 seed"
    mean, half = interval(values)
    return f"{_number(mean)} ± {_number(half)}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def main() -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--symbol", default="BTC")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--timesteps", type=int, default=60_000)
    parser.add_argument("--output", type=Path, default=Path("runs/study"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    kept = options.output / "trainings.json"
    try:
        found = train_all(options.symbol, options.seeds, options.timesteps, kept)
    except KeyboardInterrupt:
        raise SystemExit(f"interrupted: the same command goes on with what {kept} has") from None
    (options.output / "study.json").write_text(json.dumps(found, indent=1))
    draw(found, options.output / "study.svg")
    print(f"\n{table(found)}\n\n{options.output / 'study.svg'}")


if __name__ == "__main__":
    main()
