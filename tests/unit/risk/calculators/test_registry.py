"""One file is a calculator: settings, kernel and reports are made from what it declares."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tradewind.risk import RiskPolicy
from tradewind.risk.calculators import CALCULATORS
from tradewind.risk.engine import kernel

PACKAGE = Path(__file__).parents[4] / "tradewind"
NEW = '''
"""Twice the leverage."""

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.result import put


class DoubtSettings(CalculatorSettings):
    """Settings of doubt."""

    factor: float = 2.0


@compiled
def calculate_doubt(config, header, positions, out):
    put(out, config.doubt, config.doubt_factor * positions.shape[0])


DOUBT = CompiledCalculator(
    name="doubt",
    version=1,
    order=35,
    settings=DoubtSettings,
    metrics=lambda _: {"doubt": "positions"},
    kernel=calculate_doubt,
    needs=("positions",),
    after=("holdings",),
)
'''
SCRIPT = """
import hashlib
from tradewind.kernels.compiled import _feed
from tradewind.risk import RiskPolicy
from tradewind.risk.engine import kernel
from tradewind.risk.engine.arrays import calculate_arrays
from tradewind.risk.engine.plan import Plan
policy = RiskPolicy.parse({
    "calculators": {"doubt": {"factor": 3}}, "limits": {"doubt": {"limit": 1.0}}
})
digest = hashlib.sha256()
_feed(calculate_arrays, digest.update, set())
config = Plan(policy).config
print(policy.calculators.metrics().index("doubt"), config["doubt"][0], config["doubt_factor"][0])
print([line.strip() for line in "\\n".join(kernel._source()).splitlines() if "doubt" in line])
print(digest.hexdigest())
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the library's risk, and of what it imports."""
    ignored = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(PACKAGE, tmp_path / "tradewind", ignore=ignored)
    return tmp_path


def run(folder: Path) -> list[str]:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()


def test_calculator_of_one_more_file_has_settings_metrics_and_its_place_in_the_kernel(
    copied: Path,
) -> None:
    file = copied / "tradewind" / "risk" / "calculators" / "doubt.py"
    file.write_text(NEW)
    place, lines, digest = run(copied)
    # Behind drawdown, its velocity and the ulcer index.
    assert place == "8 8 3.0"
    assert lines == str(
        [
            "if config.doubt >= 0 and (touched.holdings):",
            "calculate_doubt(config, state.header, state.positions, out)",
        ]
    )
    # The cache of the kernels goes stale with a constant of any calculator.
    file.write_text(NEW.replace("config.doubt_factor *", "config.doubt_factor + 1.0 +"))
    assert run(copied)[2] != digest


def test_calculators_with_their_declarations_are_whole() -> None:
    modules = {path.stem for path in (PACKAGE / "risk" / "calculators").glob("*.py")}
    assert {calculator.name for calculator in CALCULATORS} <= modules
    defaults = RiskPolicy().calculators
    metrics = [name for each in CALCULATORS for name in each.metrics(defaults.of(each))]
    assert len(set(metrics)) == len(metrics)
    for calculator in CALCULATORS:
        assert calculator.version >= 1
        assert all(calculator.metrics(defaults.of(calculator)).values()), "a metric has a unit"
        assert set(kernel.arguments_of(calculator)) >= {"config", "out"}


def test_kernel_with_the_text_it_is_made_from_calls_every_calculator_once_and_in_order() -> None:
    text = "\n".join(kernel._source())
    called = re.findall(r" calculate_(\w+)\(", text)
    assert called == [each.name for each in CALCULATORS]
