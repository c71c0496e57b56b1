"""Trains a small risk-aware policy on real bars and says what it learnt.

    python examples/train_risk_aware_model.py [--store bundles] [--timesteps 10000]

The production risk agent takes part in the training: its penalty is subtracted from the reward, a
Lagrangian multiplier grows while the drawdown is above its limit, and the training stops when the
risk score stays too high. The policy is judged on bars that it never saw.
"""

import argparse
from pathlib import Path
from typing import Any

from tradewind.bundle import read_bundle
from tradewind.market import load_sample
from trainer_service import EnvironmentConfig, IntradayTradingEnv, create_trainer_agent

RISK_POLICY = Path(__file__).parents[1] / "config" / "risk_limits.yaml"


def training_config(store: Path, timesteps: int) -> dict[str, Any]:
    """What to train; unknown keys would be refused."""
    return {
        "policy": "btc-risk-aware",
        "store": store,
        "algorithm": "PPO",
        "algo_params": {"n_steps": 128, "batch_size": 256, "n_epochs": 5},
        "training_params": {
            "total_timesteps": timesteps,
            "seed": 7,
            "n_envs": 8,
            "normalize_observations": True,
            "held_out_fraction": 0.2,
        },
        "risk_config": {
            "enabled": True,
            "policy_yaml": RISK_POLICY,
            "penalty_weight": 0.1,
            "early_stop_threshold": 0.9,
            # Of an episode, and the multiplier moves at the end of each.
            "lagrangian": {"constraints": {"max_drawdown": 0.03}},
        },
        "tracking": {"tensorboard": None},
    }


def main() -> None:
    """Trains, then prints the held-out figures and where the bundle and its report are."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--store", type=Path, default=Path("bundles"))
    parser.add_argument("--timesteps", type=int, default=10_000)
    arguments = parser.parse_args()

    trainer = create_trainer_agent(training_config(arguments.store, arguments.timesteps))
    # Half-hour bars; with episodes of two days so short a training has many, to adapt at.
    folder = trainer.run(IntradayTradingEnv(load_sample("BTC"), EnvironmentConfig(episode_bars=96)))

    metadata = read_bundle(folder).metadata
    figures = metadata.evaluation
    print(f"{metadata.algo}, {metadata.training.timesteps:,} steps on {metadata.training.device}")
    print(f"{'on held-out bars':<24}{'policy':>12}{'buy and hold':>14}{'random':>10}")
    for name in ("return", "sharpe", "max_drawdown", "expected_shortfall_95", "trades"):
        row = [
            figures.get(f"{prefix}{name}", float("nan"))
            for prefix in ("", "buy_and_hold_", "random_")
        ]
        print(f"{name:<24}{row[0]:>12.4g}{row[1]:>14.4g}{row[2]:>10.4g}")
    low, high = figures["excess_return_low"], figures["excess_return_high"]
    print(f"return over buy and hold: {low:+.1%} to {high:+.1%} (95 % interval)")
    assert metadata.risk is not None
    print(f"risk policy: {metadata.risk.policy_digest}")
    print(f"bundle: {folder}")
    print(f"report: {folder / 'report.html'}")


if __name__ == "__main__":
    main()
