"""The study of risk in training: that each way trains, and what the table says of the figures."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest

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
    monkeypatch.setattr(study, "WAYS", {name: study.WAYS[name] for name in ("Lagrangian",)})
    found = study.train_all("BTC", seeds=1, timesteps=2_100)
    assert set(study.FIGURES) <= set(found["Lagrangian"][0])
    study.draw(found, tmp_path / "study.svg")
    assert "<svg" in (tmp_path / "study.svg").read_text()


def test_study_with_its_ways_gives_each_a_configuration_of_its_own(study: ModuleType) -> None:
    configs = {way: study.training_config(way, 0, 10_000) for way in study.WAYS}
    assert len({config.model_dump_json() for config in configs.values()}) == len(study.WAYS)
    assert configs["penalty"].risk_config.penalty_weight > 0.0
    assert configs["Lagrangian"].risk_config.lagrangian.constraints == study.CONSTRAINTS


def test_study_with_several_seeds_prints_means_with_intervals(study: ModuleType) -> None:
    mean, half = study.interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2)
    # Student's t with two degrees of freedom, 97.5 %: 4.303
    assert half == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)
    runs = [{"return": value, "sharpe": value, "max_drawdown": value} for value in (0.1, 0.2, 0.3)]
    text = study.table({"none": [*runs, {"return": 0.2, "sharpe": 0.2}]})
    assert "20.00% ±" in text
    assert "unknown for 1 of 4" in text
