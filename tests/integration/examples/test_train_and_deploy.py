"""The examples of training and deploying, as their users run them: one after the other."""

import re
import subprocess
import sys
from pathlib import Path

from tradewind.bundle import read_bundle

ROOT = Path(__file__).resolve().parents[3]


def run(script: str, *arguments: str | Path) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)]
    shown = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert shown.returncode in (0, 1), shown.stdout + shown.stderr
    assert shown.stderr.count("Traceback") == 0, shown.stderr
    return shown.returncode, shown.stdout


def test_trained_bundle_is_served_with_the_risk_policy_it_was_trained_under(tmp_path: Path) -> None:
    code, trained = run(
        "train_risk_aware_model.py", "--store", tmp_path / "store", "--timesteps", "2048"
    )

    assert code == 0
    folder, report = (
        Path(re.findall(rf"^{name}: (.*)$", trained, re.M)[0]) for name in ("bundle", "report")
    )
    assert report.is_file()
    figures = read_bundle(folder).metadata.evaluation
    (shown,) = re.findall(r"^return {2,}(\S+)", trained, re.M)
    assert shown == f"{figures['return']:.4g}"

    code, deployed = run("deploy_policy.py", folder, "--calls", "500")

    assert f"predict: btc-risk-aware {folder.name} gives " in deployed
    # On a machine that is busy with other tests the objective may be missed; the exit code says so.
    assert f"objective 100 µs: {'MISSED' if code else 'met'}" in deployed
    assert "risk policy: the one of the training" in deployed
    assert re.search(r"max_drawdown +0\.\d+", deployed)
    assert "both services have stopped" in deployed
