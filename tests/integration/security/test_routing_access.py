"""Who may take a variant out and let it in again, with `tradewind routing` at a closed service."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tradewind.rpc import ServiceProcess
from tradewind.rpc.access import make_token
from tradewind.rpc.access.token import read_token
from tradewind.rpc.clients import InferenceClient
from tradewind_cli.__main__ import main

STORE = Path(__file__).parents[3] / "tests" / "contract" / "bundle" / "store_v1"
POLICY = "tiny-dqn"
ROLES = {"caller": ["predict"], "watch": ["evaluate", "admin"], "alice": ["resume", "admin"]}


@dataclass
class Desk:
    """A service that routes one policy to two variants, and the commands of those who know it."""

    folder: Path
    address: str
    capsys: pytest.CaptureFixture[str]

    def run(self, who: str, *arguments: str) -> tuple[int, Any]:
        """Runs `tradewind routing`; gives its exit code and the document that it printed."""
        token = ("--token-file", str(self.folder / f"{who}.token"))
        code = main([*token, "routing", *arguments, "--address", self.address, "--json"])
        return code, json.loads(self.capsys.readouterr().out)

    def states(self) -> dict[str, str]:
        code, shown = self.run("watch", "show")
        assert code == 0
        return {variant["name"]: variant["state"] for variant in shown["variants"]}

    def variants_that_answer(self) -> set[str]:
        token = read_token(self.folder / "caller.token")
        observation = np.zeros(6, np.float32)
        with InferenceClient(self.address, token=token, timeout_s=20.0) as client:
            return {
                client.predict(observation, policy=POLICY, routing_key=str(key)).variant
                for key in range(50)
            }


@pytest.fixture
def desk(
    tmp_path: Path,
    start_service: Callable[..., ServiceProcess],
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    identities: dict[str, dict[str, Any]] = {
        name: {"roles": roles, "tokens": [make_token(tmp_path / f"{name}.token")]}
        for name, roles in ROLES.items()
    }
    identities["alice"]["resumes_as"] = "risk_officer"  # who resumes has a role to do it in
    variants = [
        {"name": "steady", "target": "served", "weight": 50},
        {"name": "bold", "target": "2026-11-22.1", "weight": 50, "bounds": {"error_share": 0.5}},
    ]
    files = {
        "access": {"identities": identities},
        "routing": {"policies": {POLICY: {"variants": variants}}},
        "inference": {
            "server": {"listen": "127.0.0.1:0", "access": str(tmp_path / "access.yaml")},
            "store": str(STORE),
            "routing": str(tmp_path / "routing.yaml"),
            "routing_state": str(tmp_path / "state"),
        },
    }
    for name, values in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))
    config = str(tmp_path / "inference.yaml")
    service = start_service("inference_service", "--config", config)
    desk = Desk(tmp_path, service.address, capsys)
    assert desk.states() == {"steady": "ACTIVE", "bold": "ACTIVE"}
    return desk


def test_routing_command_takes_out_and_lets_in_by_role_and_in_the_name_that_was_proved(
    desk: Desk,
) -> None:
    assert desk.variants_that_answer() == {"steady", "bold"}
    because = ("--name", "Somebody Else", "--reason", "wrong sizes")

    code, refused = desk.run("caller", "rollback", POLICY, "bold", *because)
    assert (code, refused["error"]["metadata"]["identity"]) == (5, "caller")
    assert desk.states()["bold"] == "ACTIVE"

    code, rollback = desk.run("watch", "rollback", POLICY, "bold", *because)
    assert code == 0
    assert (rollback["name"], rollback["reason"]) == ("watch", "wrong sizes")
    assert desk.states() == {"steady": "ACTIVE", "bold": "ROLLED_BACK"}
    assert desk.variants_that_answer() == {"steady"}

    for who in ("watch", "alice"):  # who may not, and who may, but under no other name
        code, refused = desk.run(who, "reinstate", POLICY, "bold", *because)
        assert (code, refused["error"]["metadata"]["identity"]) == (5, who)
    assert desk.states()["bold"] == "ROLLED_BACK"

    code, ended = desk.run(
        "alice", "reinstate", POLICY, "bold", "--name", "alice", "--reason", "fixed"
    )
    assert (code, ended["name"]) == (0, "watch")
    assert desk.states() == {"steady": "ACTIVE", "bold": "ACTIVE"}
    assert desk.variants_that_answer() == {"steady", "bold"}
    kept = json.loads((desk.folder / "state" / "rollbacks.json").read_text())
    (reinstatement,) = kept["reinstatements"]
    assert (reinstatement["name"], reinstatement["reason"]) == ("alice", "fixed")
    assert reinstatement["rollback"]["name"] == "watch"
