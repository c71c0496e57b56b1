"""`tradewind init`: a project that runs as it is, outside a checkout."""

import re
from pathlib import Path

import pytest
import yaml

from orchestrator.settings import OrchestratorSettings
from risk_service.settings import RiskServiceSettings
from tests.integration.cli.conftest import Run
from tradewind.risk import RiskAgentV2
from tradewind.settings import load_settings
from tradewind.shipped import shipped_or_own
from trainer_service.service.settings import TrainerServiceSettings


def test_init_with_a_new_folder_writes_settings_that_all_programs_take(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("init", tmp_path / "mine").code == 0
    monkeypatch.chdir(tmp_path / "mine")
    orchestrator = load_settings("config/orchestrator.yaml", OrchestratorSettings)
    (trained,) = re.findall(r"--policy (\S+)", Path("README.md").read_text())
    assert {allocation.policy for allocation in orchestrator.allocations} == {trained}
    load_settings("config/trainer.yaml", TrainerServiceSettings)
    risk = load_settings("config/risk.yaml", RiskServiceSettings)
    assert risk.policy.is_file()
    assert RiskAgentV2.from_yaml(risk.policy).policy.rules
    assert sorted(path.name for path in Path().iterdir()) == [".gitignore", "README.md", "config"]


@pytest.mark.parametrize("left", ["file", "full"])
def test_init_with_something_there_writes_nothing(run: Run, tmp_path: Path, left: str) -> None:
    place = tmp_path / "mine"
    if left == "file":
        place.write_text("my own")
    else:
        place.mkdir()
        (place / "own.txt").write_text("my own")
    before = sorted(tmp_path.rglob("*"))
    done = run("init", place)
    assert done.code != 0
    assert "nothing was written" in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_init_with_a_folder_that_cannot_be_made_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write" in run("init", tmp_path / "file" / "mine").err


def test_settings_by_name_with_none_here_are_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = shipped_or_own("config/risk_limits.yaml")
    assert shipped.is_absolute()
    assert yaml.safe_load(shipped.read_text())["rules"]
    assert RiskAgentV2.from_yaml("config/risk_limits.yaml").policy.rules
    for other in ("config/none.yaml", "other/risk_limits.yaml", "config/../risk_limits.yaml"):
        assert shipped_or_own(other) == Path(other)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "risk_limits.yaml").write_text("mine")
    assert shipped_or_own("config/risk_limits.yaml") == Path("config/risk_limits.yaml")
