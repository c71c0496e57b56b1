"""The wheel in an environment of its own, far from the checkout, without any extra."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tradewind

ROOT = Path(__file__).resolve().parents[3]
ENTRIES = {
    "tradewind_cli": ("tradewind", "cli"),
    "trainer_service": ("trainer_service", "trainer"),
    "inference_service": ("inference_service", "inference"),
    "risk_service": ("risk_service", "risk"),
    "orchestrator": ("orchestrator", "orchestrator"),
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what that cannot do without."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    run([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    here = str(folder / "venv" / "bin" / "python")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    run([sys.executable, "-m", "pip", *build, str(source)], folder)
    (wheel,) = folder.glob("tradewind-*.whl")
    run([here, "-m", "pip", "install", "--quiet", str(wheel)], folder)
    return Path(here)


def run(command: list[str], folder: Path, *, expected: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder without the checkout on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done


def test_wheel_without_extras_calculates_risk(python: Path, tmp_path: Path) -> None:
    script = """
import numpy as np
import tradewind
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
inputs = RiskInputs(portfolio_values=np.array([100.0, 90.0]))
report = RiskAgentV2(RiskPolicy()).calculate_only(inputs)
print(tradewind.__version__, report.metric_values["max_drawdown"], tradewind.__file__)
"""
    said = run([str(python), "-c", script], tmp_path).stdout.split()
    assert said[:2] == [tradewind.__version__, str(1 - 90.0 / 100.0)]
    assert not said[2].startswith(str(ROOT))


@pytest.mark.parametrize("module", ENTRIES)
def test_entry_without_its_extra_names_it_in_one_line(
    python: Path, tmp_path: Path, module: str
) -> None:
    name, extra = ENTRIES[module]
    said = run([str(python), "-m", module, "--help"], tmp_path, expected=2)
    (line,) = said.stderr.splitlines()
    assert line.startswith(f"{name}: ")
    assert line.endswith(f"is not installed: pip install 'tradewind[{extra}]'")


def test_command_without_its_extra_names_it_in_one_line(python: Path, tmp_path: Path) -> None:
    said = run([str(python.with_name("tradewind")), "--version"], tmp_path, expected=2)
    assert "pip install 'tradewind[cli]'" in said.stderr
    assert "Traceback" not in said.stderr


def test_import_of_what_needs_an_extra_names_it(python: Path, tmp_path: Path) -> None:
    script = "from trainer_service import create_trainer_agent"
    said = run([str(python), "-c", script], tmp_path, expected=1)
    assert said.stderr.rstrip().endswith("pip install 'tradewind[trainer]'")
