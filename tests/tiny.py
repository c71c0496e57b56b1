"""The smallest training on real bars, for tests of what lies around a training."""

from pathlib import Path
from typing import Any, Final

import yaml

from tradewind.market import load_sample
from tradewind.market.saving import save_bars

__all__ = ["TINY", "save_short_bars", "write_tiny_config"]

TINY: Final[dict[str, Any]] = {
    "algorithm": "PPO",
    "algo_params": {"n_steps": 64, "batch_size": 64, "policy_kwargs": {"net_arch": [16]}},
    "training_params": {
        "total_timesteps": 128,
        "n_envs": 2,
        "seed": 3,
        "held_out_fraction": 0.02,
    },
    "environment": {"episode_bars": 96},
    "data": {"symbol": "BTC"},
    "evaluation": {"resamples": 100},
}


def write_tiny_config(path: Path) -> Path:
    """Writes the configuration as a file."""
    path.write_text(yaml.safe_dump(TINY))
    return path


def save_short_bars(path: Path) -> Path:
    """Writes few enough bars to be judged on all of them, again and again."""
    save_bars(load_sample("BTC").slice(0, 4_000), path)
    return path
