"""The walkthrough runs as it stands, block after block, and with it the examples it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tradewind.bundle import read_bundle

ROOT = Path(__file__).resolve().parents[3]
BLOCKS = re.findall(
    r"```(python|bash)\n(.*?)```",
    (ROOT / "docs" / "start" / "walkthrough.md").read_text(),
    re.DOTALL,
)
SHELL = """
tradewind() { python -m tradewind_cli "$@"; }
set -euo pipefail
"""


@pytest.mark.slow
def test_walkthrough_with_its_blocks_in_order_runs(tmp_path: Path) -> None:
    for name in ("config", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    # One Python session, as in a notebook: a block of the shell is run in its place.
    script = ["import subprocess"]
    for language, block in BLOCKS:
        if language == "python":
            script.append(block)
        else:
            script.append(f"ended = subprocess.run(['bash', '-c', {SHELL + block!r}]).returncode")
            # A busy machine may miss the objective.
            script.append(f"assert ended in {(0, 1) if 'deploy' in block else (0,)}, ended")
            script.append("print(f'exit code {ended}')")
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    ran = subprocess.run(
        [sys.executable, "-u", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**os.environ, "PATH": ":".join(folders), "PYTHONPATH": ":".join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    for said in (
        "an observation has",
        "the risk policy of the training is ours: True",
        "by the compiled runtime",
        "risk policy: the one of the training",
        "both services have stopped",
    ):
        assert said in ran.stdout
    assert (tmp_path / "runs" / "walk-forward.html").is_file()

    # The example that trains says what the bundle says, and the one that deploys serves it.
    folder, report = (
        tmp_path / re.findall(rf"^{name}: (.*)$", ran.stdout, re.M)[0]
        for name in ("bundle", "report")
    )
    assert report.is_file()
    figures = read_bundle(folder).metadata.evaluation
    (shown,) = re.findall(r"^return {2,}(\S+)", ran.stdout, re.M)
    assert shown == f"{figures['return']:.4g}"
    assert f"predict: btc-risk-aware {folder.name} gives " in ran.stdout
    verdict, code = re.findall(r"objective 100 µs: (\w+).*?exit code (\d)", ran.stdout, re.S)[0]
    assert (verdict, code) in {("met", "0"), ("MISSED", "1")}
    assert re.search(r"max_drawdown +0\.\d+", ran.stdout)
