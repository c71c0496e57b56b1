"""The audit fails when it should, and never calls what it could not ask about clean."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools import audit

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def audit_environment() -> None:
    command = [sys.executable, str(ROOT / "tools" / "side_environments.py"), "audit"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no environment for the audit: {made.stderr.strip()[-300:]}")


@pytest.mark.usefixtures("audit_environment")
def test_secret_scan_with_a_planted_secret_names_its_place(tmp_path: Path) -> None:
    # In pieces, so that the scan of this file finds none.
    planted = {
        "key.py": 'AWS = "' + "AKIA" + "IOSFODNN7" + 'EXAMPLQ"\n',
        "notes.md": "text\n\n-----BEGIN " + "RSA PRIVATE KEY-----\n",
        "settings.yaml": "url: postgresql://me:" + "hunter2hunter2@db/audit\n",
    }
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "clean.py").write_text("VALUE = 1\n")
    for name, text in planted.items():
        (tmp_path / name).write_text(text)
    before = audit.BASELINE.read_bytes()
    found = audit.find_secrets(tmp_path, ["clean.py", *planted], audit.BASELINE)
    assert sorted(found) == [
        "secret at key.py:1",
        "secret at notes.md:3",
        "secret at settings.yaml:1",
    ]
    assert audit.find_secrets(tmp_path, ["clean.py"], audit.BASELINE) == []
    assert audit.BASELINE.read_bytes() == before


@pytest.mark.usefixtures("audit_environment")
def test_secret_scan_that_cannot_run_is_no_pass(tmp_path: Path) -> None:
    broken = tmp_path / "baseline"
    broken.write_text("{")
    (problem,) = audit.find_secrets(tmp_path, ["absent"], broken)
    assert "the scan failed" in problem


def test_pins_with_ranges_or_two_versions_are_refused() -> None:
    texts = {
        "a": "# text\nnumpy==2.4.6\nPyYAML==6.0.3\ngrpcio>=1.85\n",
        "b": "pyyaml==6.0.4\ntorch\n",
    }
    assert audit.wrong_pins(texts) == [
        "a: grpcio>=1.85 is not an exact pin",
        "b: torch is not an exact pin",
        "pyyaml is pinned to 6.0.3 in a and 6.0.4 in b",
    ]


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("MIT License; GNU Affero General Public License v3", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_licences_with_the_allow_list_are_judged_part_by_part(
    licence: str, *, allowed: bool
) -> None:
    rows = [{"Name": "some", "Version": "1", "License": licence}]
    assert (audit.refused_licences(rows) == []) == allowed


def test_licence_that_was_read_counts_for_that_version_alone() -> None:
    read = {"Name": "axe-playwright-python", "Version": "0.1.8", "License": "UNKNOWN"}
    assert audit.refused_licences([read]) == []
    assert audit.refused_licences([{**read, "Version": "0.1.9"}]) != []
    assert audit.refused_licences([{**read, "License": "GPL-3.0-only"}]) != []


def test_vulnerability_report_with_skipped_packages_is_no_pass() -> None:
    # What pip-audit writes, with "No known vulnerabilities found", where it reaches no service.
    skipped = {"name": "numpy", "skip_reason": "Dependency not found on PyPI"}
    clean = {"name": "torch", "version": "2.13.0", "vulns": []}
    found = audit.known_vulnerabilities({"dependencies": [skipped, clean], "fixes": []})
    assert found.problems == []
    assert "does not know 1 of 2 packages" in found.unchecked
    assert audit.known_vulnerabilities({"dependencies": []}).unchecked
    assert audit.known_vulnerabilities({"dependencies": [clean]}) == audit.Findings([])


def test_vulnerability_report_with_one_is_a_problem() -> None:
    text = """{"dependencies": [{"name": "jinja2", "version": "3.1.2", "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["3.1.6"], "aliases": []}]}]}"""
    found = audit.known_vulnerabilities(json.loads(text))
    assert found.problems == ["jinja2 3.1.2 has PYSEC-1, fixed in 3.1.6"]
    assert not found.unchecked


def test_verdict_with_packages_that_nobody_knows_says_that_nothing_was_audited() -> None:
    skipped = {"name": "a", "version": "1", "skip_reason": "unknown"}
    known = {"name": "b", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}
    assert "NOT AUDITED" in audit.verdict(audit.known_vulnerabilities({"dependencies": [skipped]}))
    assert "NOT AUDITED" in audit.verdict(audit.known_vulnerabilities({"dependencies": []}))
    asked = audit.known_vulnerabilities({"dependencies": [known]})
    assert audit.verdict(asked) == "dependencies audited for known vulnerabilities: 1 found"
