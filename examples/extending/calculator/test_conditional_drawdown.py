"""The calculator keeps what it promises, and a risk policy limits what it gives."""

from pathlib import Path

import numpy as np
import pytest
from conditional_drawdown import CONDITIONAL_DRAWDOWN

from tradewind.risk import RiskAgentV2, RiskPolicy
from tradewind.risk.testing import check_calculator

POLICY = """\
calculators:
  conditional_drawdown:
    use: conditional_drawdown
    settings: {window_bars: 40}
limits:
  conditional_drawdown: {limit: 0.10}
rules:
  - {name: deep_for_long, when: {metric: conditional_drawdown}, action: REDUCE_POSITION}
...
"""


@pytest.mark.parametrize("settings", [{}, {"window_bars": 20, "confidence": 0.5}])
def test_every_entrance_gives_the_same_bits(settings: dict[str, float]) -> None:
    check_calculator(CONDITIONAL_DRAWDOWN, settings)


def test_policy_of_the_operator_reports_and_limits_it(tmp_path: Path) -> None:
    path = tmp_path / "risk_limits.yaml"
    path.write_text(POLICY)
    agent = RiskAgentV2.from_yaml(path)
    values = np.concatenate([np.full(38, 100.0), [95.0, 80.0]])
    report = agent.calculate_only({"portfolio_values": values})
    # The worst 2 of 40 bars: 20 % and 5 % below the peak.
    assert report.metric_values["conditional_drawdown"] == pytest.approx(0.125)
    assert report.risk_score == 1.0
    few = agent.calculate_only({"portfolio_values": values[-3:]})
    assert few.unavailable["conditional_drawdown"] == "portfolio_values: 20 needed, 3 in the window"


def test_its_version_is_part_of_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "risk_limits.yaml"
    path.write_text(POLICY)
    parts = RiskPolicy.from_yaml(path).parts
    assert parts["tradewind.calculators:conditional_drawdown@1"] == {"window_bars": 40}
