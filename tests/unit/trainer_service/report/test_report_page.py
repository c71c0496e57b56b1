"""The report of a bundle, as the trainer publishes it."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import gymnasium
import plotly.graph_objects as go  # type: ignore[import-untyped]
import pytest

from tradewind.bundle import read_bundle
from tradewind.market import Bars
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv
from trainer_service.training.agent import create_trainer_agent

MakeValues = Callable[..., dict[str, Any]]

RISK_POLICY = Path(__file__).parents[4] / "config" / "risk_limits.yaml"
EVIL = "</script><script>alert(1)</script>"


def script(page: str, identity: str) -> str:
    found = re.search(f'<script [^>]*id="{identity}">(.*?)</script>', page, flags=re.S)
    assert found is not None
    return found.group(1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, btc: Bars) -> Path:
    """A bundle of a training with risk, on bars whose symbol is no harmless text."""
    values = {
        "algorithm": "PPO",
        "algo_params": {"n_steps": 64, "batch_size": 32, "n_epochs": 2},
        "training_params": {"total_timesteps": 512},
        "risk_config": {"enabled": True, "policy_yaml": str(RISK_POLICY)},
        "store": str(tmp_path_factory.mktemp("bundles")),
    }
    bars = replace(btc.slice(0, 1_000), symbol=EVIL)
    env = IntradayTradingEnv(bars, EnvironmentConfig(episode_bars=50))
    return create_trainer_agent(values).run(env)


def test_train_writes_a_report_that_the_metadata_names_and_a_reader_verifies(bundle: Path) -> None:
    metadata = read_bundle(bundle).metadata

    digest = hashlib.sha256((bundle / "report.html").read_bytes()).hexdigest()
    assert metadata.files["report.html"] == digest


def test_report_needs_nothing_but_itself(bundle: Path) -> None:
    page = (bundle / "report.html").read_text()

    unpacked = gzip.decompress(base64.b64decode(script(page, "plotly")))
    library = resources.files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    assert unpacked == library
    assert re.findall(r"(?:src|href)\s*=|https?://|@import|url\(", page) == []
    assert len(page) < 3_000_000


def test_report_shows_every_chart_with_titled_axes(bundle: Path) -> None:
    page = (bundle / "report.html").read_text()

    charts = json.loads(script(page, "charts"))

    names = {chart["id"] for chart in charts}
    assert {"equity", "positions", "returns", "learning-0"} <= names
    for chart in charts:
        assert f'id="{chart["id"]}"' in page
        figure = go.Figure(chart["data"], chart["layout"])  # plotly checks every name and value
        for axis in [key for key in chart["layout"] if re.match(r"[xy]axis", key)]:
            assert figure.layout[axis].title.text
    for title in ("Reward", "Risk score", "Risk penalty", "Value loss"):
        assert f"<h3>{title}</h3>" in page


def test_report_with_a_hostile_symbol_shows_it_as_text(bundle: Path) -> None:
    page = (bundle / "report.html").read_text()

    assert EVIL not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page


def test_report_gives_the_figures_of_the_metadata(bundle: Path) -> None:
    page = (bundle / "report.html").read_text()
    figures = read_bundle(bundle).metadata.evaluation

    table = re.sub(r"<[^>]+>|\s+", " ", page[page.index("<tbody>") : page.index("</tbody>")])
    low, high = (f"{100 * figures[f'return_{end}']:+.1f} %" for end in ("low", "high"))
    assert f"{low} to {high}".replace("-", "−") in table
    assert f"{100 * figures['expected_shortfall_95']:.2f} %" in table


def test_train_without_bars_reports_the_training_alone(training_values: MakeValues) -> None:
    params = {"total_timesteps": 256, "held_out_fraction": None}
    path = create_trainer_agent(training_values("PPO", training_params=params)).run(
        gymnasium.make("Pendulum-v1")
    )

    page = (path / "report.html").read_text()

    assert "Held-out performance" not in page
    assert "Learning curves" in page
    assert "not made of bars" in page


def test_train_with_reports_switched_off_publishes_none(
    training_values: MakeValues, btc: Bars
) -> None:
    env = IntradayTradingEnv(btc.slice(0, 1_000), EnvironmentConfig(episode_bars=50))
    path = create_trainer_agent(training_values(evaluation={"report": False})).run(env)

    assert sorted(file.name for file in path.iterdir()) == [
        "golden.npz",
        "metadata.json",
        "policy.pt",
        "policy.safetensors",
    ]
