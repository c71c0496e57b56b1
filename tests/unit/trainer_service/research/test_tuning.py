"""The search sees only bars before the held-out ones, and judges on the newest of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.market import load_sample
from trainer_service.research.tuning import TuningConfig, tune

MakeValues = Callable[..., dict[str, Any]]


def write_bars(path: Path, count: int, changed_from: int | None = None) -> Path:
    bars = load_sample("BTC").slice(0, count)
    if changed_from is not None:
        factor = np.ones(count)
        factor[changed_from:] = np.linspace(1.0, 2.0, count - changed_from)
        columns = {n: getattr(bars, n) * factor for n in ("open", "high", "low", "close")}
        bars = replace(bars, **columns)
    lines = ["timestamp,open,high,low,close,volume"]
    numbers = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    for nanoseconds, *row in zip(bars.timestamps_ns, *numbers, strict=True):
        lines.append(",".join([str(nanoseconds // 10**9), *(repr(float(cell)) for cell in row)]))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def search(training_values: MakeValues, tmp_path: Path) -> Callable[[Path], float]:
    def run(path: Path) -> float:
        values = training_values() | {
            "data": {"symbol": "BTC", "path": str(path)},
            "environment": {"episode_bars": 50},
        }
        values["training_params"] = values["training_params"] | {"held_out_fraction": 0.25}
        tuning = TuningConfig.model_validate(
            {
                "search": {"algo_params.gamma": {"choices": [0.9]}},
                "objective": "return",
                "trials": 1,
            }
        )
        return tune(values, tuning, tmp_path / path.stem).objective

    return run


@pytest.mark.parametrize("name", ["job_feature%2Fbars", "what?now", "a#b", "{x} %41 @:+"])
def test_tune_in_a_folder_of_any_name_keeps_its_study_there(
    training_values: MakeValues, tmp_path: Path, name: str
) -> None:
    values = training_values() | {"environment": {"episode_bars": 50}}
    tuning = TuningConfig.model_validate(
        {
            "search": {"algo_params.gamma": {"choices": [0.9]}},
            "objective": "return",
            "trials": 1,
        }
    )
    values["data"] = {
        "symbol": "BTC",
        "path": str(write_bars(tmp_path / "bars.csv", 1_600)),
    }
    folder = tmp_path / name
    found = tune(values, tuning, folder)
    assert (folder / "study.sqlite").exists()
    assert tune(values, tuning, folder).objective == found.objective  # goes on with it
    assert {path.name for path in tmp_path.iterdir()} == {"bars.csv", name}


def test_tune_with_other_held_out_bars_finds_the_same(
    search: Callable[[Path], float], tmp_path: Path
) -> None:
    found = search(write_bars(tmp_path / "all.csv", 1_600))
    assert search(write_bars(tmp_path / "held_out.csv", 1_600, changed_from=1_200)) == found
    assert search(write_bars(tmp_path / "seen.csv", 1_600, changed_from=1_100)) != found
