"""Which kind of risk-awareness pays: none, a penalty, constraints, or the tail of the return.

    python examples/risk_study.py --output runs/study

Trains QR-DQN five times in each way, with seeds 0 to 4, on the bars before the held-out ones, and
judges each policy on the held-out bars, costs included. Prints a table of means over the seeds with
95 % confidence intervals (Student's t), writes every figure to study.json and draws study.svg.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from scipy import stats

from tradewind.market import load_sample, split_bars
from trainer_service.config import JobConfig, parse_training_config
from trainer_service.environment import IntradayTradingEnv
from trainer_service.judging import train_and_judge
from trainer_service.progress import ProgressReporter

HELD_OUT = 0.2
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
    "sharpe": "Sharpe ratio",
    "max_drawdown": "max drawdown",
    "expected_shortfall_95": "ES 95 % of a bar",
}
PERCENTAGES = ("return", "max_drawdown", "expected_shortfall_95")


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


def train_all(symbol: str, seeds: int, timesteps: int) -> dict[str, list[dict[str, float]]]:
    """Figures on the held-out bars: by way, one entry a seed."""
    past, future = split_bars(load_sample(symbol), HELD_OUT)
    found: dict[str, list[dict[str, float]]] = {}
    for way in WAYS:
        for seed in range(seeds):
            started = time.monotonic()
            config = training_config(way, seed, timesteps)
            env = IntradayTradingEnv(past, config.environment)
            reporter = ProgressReporter(lambda _: None, timesteps)
            figures = train_and_judge(config, env, past, future, reporter).figures
            found.setdefault(way, []).append(figures)
            shown = ", ".join(f"{name} {figures.get(name, math.nan):.4g}" for name in FIGURES)
            seconds = time.monotonic() - started
            print(f"{way}, seed {seed}: {shown} ({seconds:.0f} s)", flush=True)
    return found


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval."""
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), float(stats.t.ppf(0.975, len(values) - 1)) * spread


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """The study as a Markdown table; a figure that some seed does not have is left out."""
    lines = [f"| | {' | '.join(FIGURES.values())} |", f"|---|{'---|' * len(FIGURES)}"]
    for way, runs in found.items():
        cells = [
            _cell(name, [run[name] for run in runs if name in run], len(runs)) for name in FIGURES
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    reference = next(iter(found.values()))[0]
    for baseline in ("buy_and_hold", "always_flat"):
        values = [reference.get(f"{baseline}_{name}") for name in FIGURES]
        cells = [_number(name, value) for name, value in zip(FIGURES, values, strict=True)]
        lines.append(f"| {baseline.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draws every seed as a dot, with mean and interval."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, (name, title) in zip(figure.subplots(1, len(FIGURES)), FIGURES.items(), strict=True):
        for place, runs in enumerate(found.values()):
            values = [run[name] * _factor(name) for run in runs if name in run]
            axes.plot([place] * len(values), values, "o", color="#888888", alpha=0.6, markersize=4)
            if len(values) > 1:
                mean, half = interval(values)
                axes.errorbar(place + 0.2, mean, half, fmt="s", color="#0072b2", capsize=4)
        hold = next(iter(found.values()))[0].get(f"buy_and_hold_{name}")
        if hold is not None:
            axes.axhline(hold * _factor(name), color="#d55e00", linestyle="--", linewidth=1)
        if name in CONSTRAINTS:
            limit = CONSTRAINTS[name] * _factor(name)
            axes.axhline(limit, color="#009e73", linestyle=":", linewidth=1.5)
        axes.set_title(f"{title}{' (%)' if name in PERCENTAGES else ''}", fontsize=10)
        axes.set_xticks(range(len(found)), list(found), fontsize=8, rotation=20)
        axes.grid(axis="y", alpha=0.3)
    figure.suptitle(
        "dots: seeds; squares: mean and 95 % interval; dashed: buy and hold; dotted: constraint",
        fontsize=9,
    )
    figure.savefig(path)


def _cell(name: str, values: list[float], count: int) -> str:
    if len(values) < max(count, 2):
        return f"unknown for {count - len(values)} of {count}" if len(values) < count else "1 seed"
    mean, half = interval(values)
    return f"{_number(name, mean)} ± {_number(name, half)}"


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2%}" if name in PERCENTAGES else f"{value:.2f}"


def _factor(name: str) -> float:
    return 100.0 if name in PERCENTAGES else 1.0


def main() -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--symbol", default="BTC")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--timesteps", type=int, default=60_000)
    parser.add_argument("--output", type=Path, default=Path("runs/study"))
    options = parser.parse_args()
    found = train_all(options.symbol, options.seeds, options.timesteps)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "study.json").write_text(json.dumps(found, indent=1))
    draw(found, options.output / "study.svg")
    print(f"\n{table(found)}\n\n{options.output / 'study.svg'}")


if __name__ == "__main__":
    main()
