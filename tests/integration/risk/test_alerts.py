"""A halt that the risk service latches reaches people, once, with what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from tests.unit.alerts.test_alerts import Receiver
from tests.waiting import wait_until
from tradewind.risk import RiskInputs
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import RiskClient

ROOT = Path(__file__).parents[3]
FALLEN = RiskInputs(portfolio_values=np.array([100.0, 100.0, 50.0]), capital_base=100.0)
FALLING = RiskInputs(portfolio_values=np.array([100.0, 99.0]), capital_base=100.0)
POLICY = """\
limits: {max_drawdown: {limit: 0.2}}
rules: [{name: deep, when: {metric: max_drawdown}, action: HALT}]
...
"""


def test_halt_of_an_account_is_told_once_however_often_it_is_asked(
    tmp_path: Path, start_service: Callable[..., ServiceProcess]
) -> None:
    receiver = Receiver()
    (tmp_path / "policy.yaml").write_text(POLICY)
    settings = {
        "server": {"listen": "127.0.0.1:0"},
        "policy": str(tmp_path / "policy.yaml"),
        "database": f"sqlite:///{tmp_path}/audit.sqlite",
        "alerts": {"urls": [receiver.url]},
    }
    (tmp_path / "risk.yaml").write_text(yaml.safe_dump(settings))
    service = start_service("risk_service", "--config", str(tmp_path / "risk.yaml"))
    with RiskClient(service.address) as client:
        client.evaluate(FALLING, account="calm")
        for _ in range(3):
            client.evaluate(FALLEN, account="main")
        wait_until(receiver.is_told)
    service.stop()
    receiver.close()
    (got,) = receiver.got
    assert got["title"] == "[risk_service] halt: main"
    assert "HALT by rule deep: max_drawdown 0.5 is over 0.2" in got["message"]
    assert f"to resume: tradewind risk resume main --address {service.address} " in got["message"]
