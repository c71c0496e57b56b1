"""`tradewind demo` on a short training: three real services, real bars, the real orchestrator."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from orchestrator.analysis.decision_replay import verify
from orchestrator.decision_log import DecisionLog
from tests.waiting import wait_until
from tradewind.bundle import BundleMetadata, BundleStore, read_bundle
from tradewind_cli.__main__ import main
from tradewind_cli.demo import new_folder
from tradewind_cli.demonstration import Demonstration

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
# A share of the bars that leaves about 700 to trade.
HELD_OUT_FRACTION = 0.02


def short_training(folder: Path, **risk: Any) -> Path:
    config = yaml.safe_load((ROOT / "config/training/ppo_btc.yaml").read_text())
    config["training_params"] |= {
        "total_timesteps": 2_048,
        "held_out_fraction": HELD_OUT_FRACTION,
    }
    config["risk_config"] |= risk
    path = folder / "short.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@dataclass(frozen=True)
class Shown:
    """A demo that has ended."""

    folder: Path
    out: str
    err: str
    metadata: BundleMetadata
    log: DecisionLog


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """As in the log of a CI job: without a terminal, 60 columns wide."""
    output = tmp_path_factory.mktemp("demo")
    command = ["demo", "--training", str(short_training(output)), "--output", str(output / "runs")]
    ended = subprocess.run(
        [sys.executable, "-m", "tradewind_cli", *command],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "60"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder,) = (output / "runs").iterdir()
    (bundle,) = (folder / "bundles" / "demo").iterdir()
    metadata, log = read_bundle(bundle).metadata, DecisionLog(folder / "orchestrator" / "log")
    return Shown(folder, ended.stdout, ended.stderr, metadata, log)


def test_demo_trades_every_held_out_bar_by_the_policy_it_trained(shown: Shown) -> None:
    ticks, decisions = shown.log.ticks.to_pylist(), shown.log.flat("decisions").to_pylist()
    assert f"traded {len(ticks)} held-out bars" in shown.err
    assert len(decisions) > 500
    digest = shown.metadata.risk.policy_digest if shown.metadata.risk else ""
    for decision in decisions:
        assert decision["bundle_sha256"] == shown.metadata.sha256
        assert not decision["reason"]
    asked = [tick["risk"] for tick in ticks if tick["outcome"] != "WARM_UP"]
    assert {answer["policy_digest"] for answer in asked} == {digest}


def test_demo_says_what_matters_and_where_everything_lies(shown: Shown) -> None:
    for name in ("Model compute", "Evaluate call", "the account", "buy and hold", "random"):
        assert re.search(rf"^{name} .*\d", shown.out, re.M), shown.out
    hold = shown.metadata.evaluation["buy_and_hold_return"]
    assert f"{hold:+.2%}" in shown.out
    assert "EQUAL: " in shown.out
    for path in re.findall(r"/\S+", shown.out):
        assert Path(path).exists() or "*" in path, path
    assert (shown.folder / "tearsheet.html").read_text().startswith("<!DOCTYPE html>")
    assert re.search(r"live view +on http://127\.0\.0\.1:\d+/", shown.err)
    for line in shown.err.splitlines():  # numbers are never cut off
        assert "…" not in line


def test_demo_leaves_a_log_that_a_replay_proves(shown: Shown) -> None:
    assert verify(shown.log, BundleStore(shown.folder / "bundles")).equal


def test_demo_of_a_training_that_fails_says_why_and_stops_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = children()
    training = short_training(tmp_path, early_stop_threshold=0.001, early_stop_patience=1)
    assert main(["demo", "--training", str(training), "--output", str(tmp_path / "runs")]) == 1
    said = capsys.readouterr().err
    assert "the training ended as FAILED: for 8 steps in a row limits could not be" in said
    assert f"logs: {tmp_path / 'runs'}" in said
    assert children() <= before


def test_demo_with_a_busy_port_for_its_live_view_ends_before_it_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    services = ("127.0.0.1:9", "127.0.0.1:9", "127.0.0.1:9")  # which are not asked anything yet
    monkeypatch.setattr(Demonstration, "_start_services", lambda _: services)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        live = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["demo", "--output", str(tmp_path), "--live", live]) == 2
    assert f"cannot serve the live view on {live}" in capsys.readouterr().err
    assert children() <= before


def trains(pid: int) -> bool:
    """Whether a process below that one is a job's."""
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "trainer_service.jobs.worker" in child.cmdline():
                return True
    return False


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--training", "{tmp}/none.yaml"], 2, "cannot read"),
        (["--live", "0.0.0.0:0"], 2, "is reached from other machines"),
        (["--output", "{tmp}/file/runs"], 1, "cannot write"),
    ],
)
def test_demo_that_cannot_be_shown_says_so_before_it_starts_anything(
    arguments: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    assert main(["demo", "--output", str(tmp_path / "runs"), *given]) == code
    assert says in capsys.readouterr().err
    assert list((tmp_path / "runs").glob("*/logs")) == []


def test_demo_with_a_signal_stops_all_that_it_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tradewind_cli", "demo", "--output", str(tmp_path / "runs")]
    said = tmp_path / "said"
    with (
        said.open("w") as stderr,
        subprocess.Popen(command, cwd=ROOT, stderr=stderr, start_new_session=True) as process,
    ):
        wait_until(lambda: trains(process.pid), "a job with a process of its own", 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130, said.read_text()
    rest = said.read_text()
    assert "interrupted, and all has stopped" in rest
    assert [it for it in psutil.process_iter() if runs_in(process.pid, it)] == []


def runs_in(session: int, process: psutil.Process) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def test_two_demos_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = [new_folder(tmp_path) for _ in range(5)]
    assert len(set(folders)) == len(folders) == len(list(tmp_path.iterdir()))
