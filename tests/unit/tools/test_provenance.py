import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tools.provenance import PREDICATE_TYPE, digest_of, provenance
from tradewind.bundle import SigningKey
from tradewind.bundle.statements import read_statement

ROOT = Path(__file__).parents[3]


def test_provenance_names_the_commit_and_the_files_by_their_digests(tmp_path: Path) -> None:
    built = tmp_path / "tradewind.whl"
    built.write_bytes(b"abc")
    key = SigningKey.create(tmp_path / "release.key")
    said = provenance("0" * 40, datetime.now(UTC))
    data = key.state(PREDICATE_TYPE, {built.name: digest_of(built)}, said, None)
    statement = read_statement(data, PREDICATE_TYPE, [key.public])
    # SHA-256 of "abc": FIPS 180-2, appendix B.1
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert statement.subjects == {"tradewind.whl": abc}
    (commit, pins) = statement.predicate["buildDefinition"]["resolvedDependencies"]
    assert commit["digest"] == {"gitCommit": "0" * 40}
    assert pins["digest"] == {"sha256": digest_of(ROOT / "requirements" / "dev.txt")}


def test_provenance_without_a_usable_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.key").write_text("hunter2")
    command = [
        sys.executable,
        "tools/provenance.py",
        "README.md",
        "--key",
        str(tmp_path / "no.key"),
    ]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out.json")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert not (tmp_path / "out.json").exists()
