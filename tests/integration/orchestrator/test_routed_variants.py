"""Two variants of a policy trade one account, are compared, and one is taken out for its risk.

Then the commands of docs/guides/routing.md, in their order.
"""

import asyncio
import json
import re
import shlex
import time
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from inference_service.routing.weights import WeightedChoice
from orchestrator.agents.runner import build_agent
from orchestrator.analysis.comparison import read_bounds
from orchestrator.decision_log import DecisionLog
from tests.integration.orchestrator.conftest import SYMBOLS, Desk
from tradewind.rpc.clients import InferenceClient
from tradewind_cli.__main__ import main

PAGE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "routing.md"
COMMANDS = re.findall(r"^    tradewind (routing .*)$", PAGE.read_text(), re.M)
POLICY = "tiny-dqn"
BOUNDS = {"max_drawdown": 1e-6, "expected_shortfall_95": 0.9}


def salt_that_parts_the_symbols() -> str:
    def variants(salt: str) -> set[int]:
        choice = WeightedChoice(("steady", "bold"), (0.5, 0.5), salt)
        return {choice.by_key(symbol) for symbol in SYMBOLS}

    return next(salt for salt in map(str, range(100)) if len(variants(salt)) == 2)


def test_variants_by_symbol_are_logged_compared_and_held_to_their_risk_bounds(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    store = desk.folder / "store"
    (first,) = (folder.name for folder in (store / POLICY).iterdir())
    variants = [
        {"name": "steady", "target": first, "weight": 0.5},
        {"name": "bold", "target": desk.publish(), "weight": 0.5, "bounds": BOUNDS},
    ]
    routing = {"policies": {POLICY: {"salt": salt_that_parts_the_symbols(), "variants": variants}}}
    with InferenceClient(desk.inference.address) as client:
        (store / "routing.yaml").write_text(yaml.safe_dump(routing))
        deadline = time.monotonic() + 60.0
        while [one.state for one in client.get_routing().variants] != ["ACTIVE", "ACTIVE"]:
            assert time.monotonic() < deadline, "the routing is not in force"
            time.sleep(0.05)
        settings = desk.settings(routing_key="symbol")
        asyncio.run(build_agent(settings).run())

        log = DecisionLog(settings.log.folder)
        by_symbol = defaultdict(set)
        for decision in log.flat("decisions").to_pylist():
            (symbol,) = decision["symbols"]
            by_symbol[symbol].add((decision["variant"], decision["version"]))
        assert [len(by_symbol[symbol]) for symbol in SYMBOLS] == [1, 1, 1]  # sticky
        parted = {one for answers in by_symbol.values() for one in answers}
        assert parted == {("steady", first), ("bold", variants[1]["target"])}
        # A version that answers for the first time is compared before it is traded on.
        reasons = set(log.flat("decisions")["reason"].to_pylist())
        assert reasons == {"", "VERSION_CHANGED"}
        changed = ["VERSION_CHANGED" in ticks for ticks in log.ticks["reasons"].to_pylist()]
        assert sum(changed) == 1

        arguments = [str(settings.log.folder), "--json"]
        assert main(["compare", *arguments, "--champion", "steady"]) == 0
        compared = json.loads(capsys.readouterr().out)
        assert compared["challenger"]["variant"] == "bold"
        assert compared["common_bars"] > 200

        drawdown, shortfall = read_bounds(log, client.get_routing())
        figures = compared["challenger"]
        assert drawdown.is_broken
        assert (drawdown.value, drawdown.bar_count) == (
            figures["max_drawdown"],
            figures["bar_count"],
        )
        assert (shortfall.value, shortfall.is_broken) == (figures["expected_shortfall_95"], False)

        address = ["--address", desk.inference.address]
        assert main(["routing", "guard", *arguments, *address]) == 1
        (rollback,) = client.get_routing().rollbacks
        assert (rollback.variant, rollback.name) == ("bold", "tradewind routing guard")
        assert rollback.reason.startswith("max_drawdown is ")
        shares = {one.name: one.share for one in client.get_routing().variants}
        assert shares == {"steady": 1.0, "bold": 0.0}

        # A person lets it in again; what it traded before does not count against it any more.
        who = ["--name", "Ada", "--reason", "bounds were wrong"]
        assert main(["routing", "reinstate", POLICY, "bold", *who, *address]) == 0
        assert main(["routing", "guard", *arguments[:1], *address]) == 0
        assert "it has not traded yet" in capsys.readouterr().out

        assert len(COMMANDS) == 5
        for command in COMMANDS:
            for shown, here in (("demo", POLICY), ("runs/orchestrator/log", arguments[0])):
                command = command.replace(shown, here)
            assert main([*shlex.split(command), *address]) == 0, command
        assert client.get_routing().rollbacks == ()
