"""The walkthrough runs as it stands, block after block, and with it the examples it shows."""

import re
from pathlib import Path

import pytest

from tests.pages import blocks_of, run_blocks
from tradewind.bundle import read_bundle

# A busy machine may miss the objective, which is exit code 1.
MAY_MISS = {"--calls 500\n": "--calls 500 || test $? = 1\n"}


@pytest.mark.slow
def test_walkthrough_with_its_blocks_in_order_runs(tmp_path: Path) -> None:
    ran = run_blocks(blocks_of("docs/start/walkthrough.md"), tmp_path, MAY_MISS)
    for said in (
        "an observation has",
        "the risk policy of the training is ours: True",
        "by the compiled runtime",
        "risk policy: the one of the training",
        "both services have stopped",
    ):
        assert said in ran
    assert (tmp_path / "runs" / "walk-forward.html").is_file()

    # The example that trains says what the bundle says, and the one that deploys serves it.
    folder, report = (
        tmp_path / re.findall(rf"^{name}: (.*)$", ran, re.M)[0] for name in ("bundle", "report")
    )
    assert report.is_file()
    figures = read_bundle(folder).metadata.evaluation
    (shown,) = re.findall(r"^return {2,}(\S+)", ran, re.M)
    assert shown == f"{figures['return']:.4g}"
    assert f"predict: btc-risk-aware {folder.name} gives " in ran
    assert re.search(r"objective 100 µs: (met|MISSED)", ran)
    assert re.search(r"max_drawdown +0\.\d+", ran)
