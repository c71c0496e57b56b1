"""`tradewind doctor` finds what would fail, and nothing where all is well."""

import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.cli.conftest import Run


@pytest.fixture
def project(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own on ports that are free."""
    folder = tmp_path / "mine"
    assert run("init", folder).code == 0
    monkeypatch.chdir(folder)
    for name in ("trainer", "inference", "risk"):
        for key in ("listen", "metrics_listen"):
            put(folder, name, f"server.{key}", "127.0.0.1:0")
    return folder


def put(project: Path, name: str, key: str, value: Any) -> None:
    path = project / "config" / f"{name}.yaml"
    settings = yaml.safe_load(path.read_text())
    place = settings
    *above, last = key.split(".")
    for part in above:
        place = place[part]
    place[last] = value
    path.write_text(yaml.safe_dump(settings))


def findings(run: Run) -> tuple[int, dict[str, dict[str, str]]]:
    done = run("doctor", "--json")
    return done.code, {each["what"]: each for each in done.document}


def test_doctor_with_a_new_project_finds_nothing_bad(run: Run, project: Path) -> None:
    code, found = findings(run)
    assert code == 0, [each for each in found.values() if each["state"] == "BAD"]
    for what in ("python", "kernels", "sealed loading", "risk: policy", "trainer: database"):
        assert found[what]["state"] == "ok", found[what]
    assert "nothing is served until" in found["inference: store"]["found"]
    assert not (project / "bundles").exists()  # nothing is changed


def test_doctor_with_a_port_in_use_names_it(run: Run, project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        put(project, "risk", "server.listen", address)
        done = run("doctor", "--json")
    (busy,) = [each for each in done.document if "in use" in each["found"]]
    assert busy["what"] == "risk: port"
    assert address in busy["found"]


@pytest.mark.parametrize(
    ("name", "key", "value", "what", "said"),
    [
        ("risk", "policy", "config/none.yaml", "risk: policy", "No such file"),
        ("risk", "database", "sqlite:////proc/none/a.sqlite", "risk: database", "proc"),
        ("trainer", "store", "README.md/bundles", "trainer: store", "is no folder"),
        ("trainer", "unknown_key", 1, "trainer", "unknown_key"),
        (
            "risk",
            "database",
            "postgresql+psycopg://tradewind:s3cr3t@127.0.0.1:1/audit",
            "risk: database",
            "refused",
        ),
    ],
)
def test_doctor_with_something_wrong_says_what_and_fails(
    run: Run, project: Path, name: str, key: str, value: Any, what: str, said: str
) -> None:
    put(project, name, key, value)
    code, found = findings(run)
    assert code == 1
    assert found[what]["state"] == "BAD"
    assert said in found[what]["found"]
    assert "s3cr3t" not in str(found)


def test_doctor_with_half_a_policy_says_that_the_service_would_refuse_it(
    run: Run, project: Path
) -> None:
    policy = project / "config" / "risk_limits.yaml"
    text = policy.read_text()
    policy.write_text(text[: len(text) // 2])
    code, found = findings(run)
    assert code == 1
    assert found["risk: policy"]["state"] == "BAD"


def test_doctor_outside_a_project_says_how_to_make_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, found = findings(run)
    assert code == 0
    assert "tradewind init DIR" in found["settings"]["found"]
