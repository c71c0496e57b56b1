"""The commands of docs/reference/cli.md, in their order, with smaller trainings, for real."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.tiny import save_short_bars, write_tiny_config
from tradewind.bundle import read_bundle
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient
from tradewind_cli.__main__ import main

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = re.findall(
    r"^    tradewind (.*)$", (ROOT / "docs" / "reference" / "cli.md").read_text(), re.M
)
SEARCH = {"search": {"algo_params.gamma": {"choices": [0.9, 0.99]}}, "objective": "return"}
# A service of its own replaces the process; the log of an orchestrator that nobody ran; no routing
# file; no halt; no file of bars; a project of its own. Other tests run them.
ELSEWHERE = (
    *("demo", "data", "serve", "compare", "replay", "tearsheet", "routing", "risk"),
    *("init", "doctor", "up"),
)


@pytest.mark.slow
def test_cli_page_with_its_commands_in_order_runs(
    tmp_path: Path,
    start_service: Callable[..., ServiceProcess],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    write_tiny_config(tmp_path / "tiny.yaml")
    short = f"--set data.path={save_short_bars(tmp_path / 'bars.parquet')}"
    (tmp_path / "search.yaml").write_text(yaml.safe_dump(SEARCH))
    trainer = start_service(
        *("trainer_service", "--store", str(tmp_path / "jobs")),
        *("--jobs", f"sqlite:///{tmp_path}/jobs.sqlite"),
    )
    monkeypatch.setenv("TRADEWIND_TRAINER", trainer.address)
    changes = {
        "config/training/ppo_btc.yaml": "tiny.yaml",
        "config/tuning/ppo.yaml": "search.yaml",
        "--trials 20": f"--trials 1 {short}",
        "--folds 4": f"--folds 2 {short}",
        "--symbol ETH": "--symbol ETH --fraction 0.05",
        "runs/tune/best.yaml --": "runs/tune/best.yaml --set evaluation.report=false "
        "--set training_params.held_out_fraction=0.1 --",
    }
    ran = set()
    folder = Path()
    for shown in COMMANDS:
        if shown.startswith(ELSEWHERE):
            continue
        command = shown
        for before, after in changes.items():
            command = command.replace(before, after)
        if "VERSION" in command:
            (folder, *_) = sorted((tmp_path / "bundles/btc-ppo").iterdir())
            command = command.replace("VERSION", folder.name)
        if "JOB" in command:
            assert main(["jobs", "list", "--json"]) == 0
            (job, *_) = json.loads(capsys.readouterr().out)["jobs"]
            command = command.replace("JOB", job["job_id"])
        if "127.0.0.1:50052" in command:
            serving = start_service("inference_service", "--store", str(tmp_path / "bundles"))
            command = command.replace("127.0.0.1:50052", serving.address)
            with InferenceClient(serving.address) as client:
                client.predict(read_bundle(folder).golden.observations[0], policy="btc-ppo")
        code = main(shlex.split(command))
        printed = capsys.readouterr()
        # The job has ended, which is no time to cancel it; an objective may be missed.
        allowed = {0, 1} if command.startswith(("jobs cancel", "slo")) else {0}
        assert code in allowed, f"{shown}: {printed.err}"
        ran.add(command.split()[0])
    assert ran == {
        "train",
        "bundle",
        "evaluate",
        "walk-forward",
        "tune",
        "jobs",
        "slo",
        "token",
        "schema",
    }


def test_cli_page_with_its_commands_names_every_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    offered = set(re.findall(r"^[│\s]+([a-z][a-z-]*)  +\S", capsys.readouterr().out, re.M))
    assert {command.split()[0] for command in COMMANDS} == offered
