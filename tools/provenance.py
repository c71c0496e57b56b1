"""Writes what was built from which commit: a SLSA provenance statement of the files of a release.

    python tools/provenance.py dist/tradewind-0.3.0* --key release.key --output dist/provenance.json

An in-toto statement in a DSSE envelope, signed with Ed25519 as bundles are; `slsa-verifier`'s and
in-toto's tools read the form. It says what the builder says: it is as good as the machine that
holds the key. Refuses a working tree with changes, of which no commit tells.

Source: https://slsa.dev/spec/v1.0/provenance
"""

import argparse
import hashlib
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tradewind.bundle import SigningKey
from tradewind.errors import TradewindError

ROOT = Path(__file__).resolve().parent.parent
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:tradewind:make-release:1"


def provenance(revision: str, now: datetime) -> dict[str, Any]:
    """The predicate for files that `make release` has built from a commit.

    Args:
        revision: The commit, in hexadecimal digits.
        now: When they were built.
    """
    pins = ROOT / "requirements" / "dev.txt"
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"command": "make release"},
            "resolvedDependencies": [
                {"uri": "git+.", "digest": {"gitCommit": revision}},
                {"uri": "requirements/dev.txt", "digest": {"sha256": digest_of(pins)}},
            ],
        },
        "runDetails": {
            "builder": {
                "id": BUILD_TYPE,
                "version": {"python": platform.python_version(), "machine": platform.machine()},
            },
            "metadata": {"finishedOn": now.replace(microsecond=0).isoformat()},
        },
    }


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    """Parses the command line and writes the statement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+", help="what was built")
    parser.add_argument("--key", type=Path, required=True, help="private key, as for bundles")
    parser.add_argument("--output", type=Path, required=True, help="where the statement goes")
    arguments = parser.parse_args()
    if _git("status", "--porcelain", "--untracked-files=no"):
        sys.exit("provenance: the working tree has changes that no commit tells of")
    try:
        key = SigningKey.load(arguments.key)
    except TradewindError as problem:
        sys.exit(f"provenance: {problem}")
    now = datetime.now(UTC)
    subjects = {file.name: digest_of(file) for file in arguments.files}
    said = provenance(_git("rev-parse", "HEAD"), now)
    arguments.output.write_bytes(key.state(PREDICATE_TYPE, subjects, said, None, now))
    print(f"{arguments.output}: {len(subjects)} files, signed by {key.key_id}")


if __name__ == "__main__":
    main()
