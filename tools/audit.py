"""Looks for secrets in what is committed, and for trouble in what is depended on.

    python tools/audit.py                                    what can be checked here
    python tools/audit.py --require-vulnerability-service    fails where that is not all

Secrets: detect-secrets over every tracked file; what it takes for one and is none stands in
.secrets.baseline. Dependencies: exact pins, one version in all files; pip check; licences against
ALLOWED_LICENCES; pip-audit against the known vulnerabilities. pip-audit calls a run clean in which
it could not ask about a single package: here that is said to be no audit.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv-audit" / "bin"
BASELINE = ROOT / ".secrets.baseline"
REQUIREMENTS = ROOT / "requirements"
VERDICT = ROOT / "build" / "audit.txt"
# One set that has to fit together; the side environments are apart because they do not.
PROJECT_FILES = ("inference", "risk", "trainer", "dev")
_PIN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)(\[[a-z,]+\])?==(?P<version>[0-9][0-9a-z.]*)", re.I
)
_MOVED = 3  # the exit code of detect-secrets-hook: known ones stand on other lines
_TIMEOUT_S = 180

ALLOWED_LICENCES = frozenset(
    {
        *("MIT", "MIT-0", "MIT-CMU", "ISC", "0BSD", "Zlib", "CC0-1.0", "BSL-1.0", "ZPL-2.1"),
        *("BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "Python-2.0"),
        *("Apache-2.0 WITH LLVM-exception", "MPL-2.0", "LGPL-3.0-only"),
        # As older packages write the same.
        *("MIT License", "BSD License", "3-Clause BSD License", "Simplified BSD"),
        *("Apache 2.0", "Apache License 2.0", "Apache Software License", "DFSG approved"),
        *("Python Software Foundation License", "ISC License (ISCL)"),
        "Mozilla Public License 2.0 (MPL 2.0)",
    }
)

# Of packages whose metadata says nothing, read in their licence file; each for one version.
READ_LICENCES = {("axe-playwright-python", "0.1.8"): "MIT AND MPL-2.0"}  # the latter: axe-core


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, and what could not be looked at.

    Attributes:
        problems: Each of them fails the audit.
        unchecked: What was not looked at and why, which is no pass; empty for nothing.
    """

    problems: list[str]
    unchecked: str = ""


def find_secrets(folder: Path, files: Iterable[str], baseline: Path) -> list[str]:
    """Secrets in files of a folder that the baseline does not know."""
    with tempfile.TemporaryDirectory() as scratch:
        known = Path(scratch) / "baseline.json"  # the hook would write line numbers into ours
        shutil.copyfile(baseline, known)
        command = [str(BIN / "detect-secrets-hook"), "--baseline", str(known), *files]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode in (0, _MOVED):
        return []
    places = re.findall(r"Location:\s+(\S+)", run.stdout)
    return [f"secret at {place}" for place in places] or [f"the scan failed: {run.stderr[-500:]}"]


def wrong_pins(files: Mapping[str, str]) -> list[str]:
    """Lines that pin nothing exactly, and packages pinned to two versions; content by name."""
    problems: list[str] = []
    versions: dict[str, dict[str, str]] = {}
    for name, text in files.items():
        for line in (line.partition("#")[0].strip() for line in text.splitlines()):
            if not line:
                continue
            pin = _PIN.fullmatch(line)
            if pin is None:
                problems.append(f"{name}: {line} is not an exact pin")
            else:
                versions.setdefault(pin["name"].lower(), {})[pin["version"]] = name
    problems += [
        f"{package} is pinned to {' and '.join(f'{v} in {name}' for v, name in found.items())}"
        for package, found in versions.items()
        if len(found) > 1
    ]
    return problems


def _licence_of(row: Mapping[str, str]) -> str:
    said = row["License"]
    return READ_LICENCES.get((row["Name"], row["Version"]), said) if said == "UNKNOWN" else said


def refused_licences(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Packages with a licence that is not allowed, of the rows that pip-licenses writes."""
    return [
        f"{row['Name']} {row['Version']}: licence {row['License']!r} is not allowed"
        for row in rows
        if not _is_allowed(_licence_of(row))
    ]


def _is_allowed(licence: str) -> bool:
    """Of alternatives (OR) one, of several that hold together (AND, ;) each one is allowed."""
    return any(
        all(part.strip() in ALLOWED_LICENCES for part in re.split(r" AND |;", each))
        for each in licence.split(" OR ")
    )


def known_vulnerabilities(report: Mapping[str, Any]) -> Findings:
    """What a report of pip-audit says, and about how many packages it says nothing."""
    packages = report["dependencies"]
    skipped = sum("skip_reason" in package for package in packages)
    problems = [
        f"{package['name']} {package['version']} has {each['id']}, "
        f"fixed in {', '.join(each['fix_versions']) or 'no version'}"
        for package in packages
        for each in package.get("vulns", ())
    ]
    if not skipped and packages:
        return Findings(problems)
    unknown = f"the vulnerability service does not know {skipped} of {len(packages)} packages"
    return Findings(problems, unknown)


def ask_for_vulnerabilities(pins: Iterable[str]) -> Findings:
    """Runs pip-audit on pins."""
    command = [str(BIN / "pip-audit"), "--no-deps", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "10", "--requirement"]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "requirements.txt"
        path.write_text("\n".join(pins) + "\n")
        try:
            run = subprocess.run(
                [*command, str(path)],
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
            return known_vulnerabilities(json.loads(run.stdout))
        except (subprocess.TimeoutExpired, ValueError):
            return Findings([], "the vulnerability service does not answer")


def verdict(asked: Findings) -> str:
    """The line with which a run of CI ends, so that what was not audited is not overlooked."""
    if asked.unchecked:
        return f"dependencies NOT AUDITED for known vulnerabilities: {asked.unchecked}"
    return f"dependencies audited for known vulnerabilities: {len(asked.problems)} found"


def _tracked_files() -> list[str]:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # The baseline is no source: it holds the SHA-1 of what is known.
    return [
        name for name in listed.split("\0") if (ROOT / name).is_file() and ROOT / name != BASELINE
    ]


def _licence_rows(packages: Iterable[str]) -> list[dict[str, str]]:
    command = [str(BIN / "pip-licenses"), "--python", sys.executable, "--from=mixed"]
    command += ["--format=json", "--packages", *packages]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    rows: list[dict[str, str]] = json.loads(run.stdout)
    return rows


def _pip_check() -> list[str]:
    command = [sys.executable, "-m", "pip", "check"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.splitlines() if run.returncode else []


def _report(title: str, problems: list[str]) -> bool:
    print(f"audit: {title}: {'ok' if not problems else f'{len(problems)} FOUND'}")
    for problem in problems:
        print(f"  {problem}")
    return not problems


def main() -> int:
    """Exit code 0 when nothing was found; 1 otherwise, or where a required check was impossible."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--require-vulnerability-service", action="store_true")
    options = parser.parse_args()
    texts = {path.stem: path.read_text() for path in sorted(REQUIREMENTS.glob("*.txt"))}
    project = {name: texts.pop(name) for name in PROJECT_FILES}
    pins = {pin["name"]: pin["version"] for text in project.values() for pin in _PIN.finditer(text)}
    wrong = wrong_pins(project)
    for name, text in texts.items():
        wrong += wrong_pins({name: text})
    clean = [
        _report("secrets", find_secrets(ROOT, _tracked_files(), BASELINE)),
        _report("pins", wrong),
        _report("pip check", _pip_check()),
        _report("licences", refused_licences(_licence_rows(pins))),
    ]
    asked = ask_for_vulnerabilities(f"{name}=={version}" for name, version in pins.items())
    if asked.problems or not asked.unchecked:
        clean.append(_report("vulnerabilities", asked.problems))
    if asked.unchecked:
        print(f"audit: vulnerabilities: NOT AUDITED, which is no pass: {asked.unchecked}")
        clean.append(not options.require_vulnerability_service)
    VERDICT.parent.mkdir(exist_ok=True)
    VERDICT.write_text(verdict(asked) + "\n")
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
