import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_lock_check_with_the_committed_files_passes() -> None:
    command = [sys.executable, "tools/lock.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_inference_requirements_with_their_pins_name_no_training_library() -> None:
    pins = (ROOT / "requirements/inference.txt").read_text()
    assert "torch==2.13.0\n" in pins
    for heavy in ("stable", "gymnasium", "pandas", "matplotlib", "pyarrow"):
        assert heavy not in pins


def test_requirement_files_with_their_pins_name_no_index_and_no_path() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        assert "--" not in text
        assert "+cpu" not in text
