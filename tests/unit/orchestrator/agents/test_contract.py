"""A policy is traded only as its bundle says, and not at all when the bundle does not say it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.agents.contract import read_contract
from tradewind.bundle import BoxSpace, BundleDraft, FeatureRecord, TrainingRecord
from tradewind.errors import BundleFormatError
from tradewind.market import Costs, FeatureSpec, Instrument, TradingTerms

TERMS = TradingTerms(transaction_cost=0.002, allow_short=True)
SPEC = FeatureSpec(return_count=4)
CREATED_AT = datetime(2026, 11, 22, tzinfo=UTC)

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def metadata(released_draft: Callable[..., BundleDraft]) -> dict[str, Any]:
    """The metadata of a bundle that can be traded."""
    draft = released_draft("tiny-dqn")
    draft_metadata = draft.metadata("2026-11-22.1", CREATED_AT, draft.contents())
    features = FeatureRecord(spec=SPEC.model_dump(mode="json"), digest=SPEC.digest)
    training = TrainingRecord(
        timesteps=1, config={"environment": {**TERMS.model_dump(mode="json"), "episode_bars": 10}}
    )
    space = BoxSpace(shape=(SPEC.observation_size,))
    changes = {"features": features, "training": training, "obs_space": space}
    values = draft_metadata.model_copy(update=changes).to_json()
    loaded: dict[str, Any] = json.loads(values)
    return loaded


def test_read_contract_with_a_complete_bundle_gives_what_it_was_trained_on(
    metadata: dict[str, Any],
) -> None:
    contract = read_contract(json.dumps(metadata))
    assert contract.features == SPEC
    assert contract.terms == TERMS
    assert contract.risk_policy_digest == metadata["risk"]["policy_digest"]


def test_read_contract_of_an_instrument_has_it_and_its_digest(metadata: dict[str, Any]) -> None:
    instrument, costs = Instrument(lot=0.1, taker_fee=0.001), Costs(spread=0.001)
    terms = TERMS.model_copy(update={"instruments": (instrument,), "costs": costs})
    metadata["training"]["config"]["environment"] = terms.model_dump(mode="json")
    identity = terms.identity
    metadata["terms"] = {"digest": identity.digest, "parts": identity.parts}
    contract = read_contract(json.dumps(metadata))
    assert contract.terms.instruments == (instrument,)
    assert contract.terms.costs == costs
    metadata["training"]["config"]["environment"]["instruments"][0]["lot"] = 0.2
    with pytest.raises(BundleFormatError, match=r"on other trading terms .*trading\.instruments"):
        read_contract(json.dumps(metadata))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(features=None), "says nothing of its features"),
        (lambda m: m["training"].update(config={}), "says nothing of its trading terms"),
        (
            lambda m: m["training"]["config"]["environment"].pop("slippage"),
            "leaves trading terms out: slippage",
        ),
        (
            lambda m: m["training"]["config"]["environment"].update(slippage=7.0),
            "trading terms is refused: slippage: .*less than or equal to 0.1",
        ),
        (lambda m: m["features"]["spec"].update(news=True), "features is refused: news"),
        (lambda m: m["features"]["spec"].update(return_count=5), "trained on other features"),
        (lambda m: m["features"].update(digest="0" * 64), "trained on other features"),
        (lambda m: m["action_space"].update(n=4), "does not act as .* say .discrete actions"),
        (
            lambda m: m["training"]["config"]["environment"].update(actions="continuous"),
            "does not act as .* say .continuous actions",
        ),
    ],
)
def test_read_contract_with_a_gap_or_a_contradiction_names_it(
    metadata: dict[str, Any], change: Change, message: str
) -> None:
    change(metadata)
    with pytest.raises(BundleFormatError, match=message):
        read_contract(json.dumps(metadata))


@pytest.mark.parametrize(("allow_short", "low"), [(True, -1.0), (False, 0.0)])
def test_read_contract_of_a_continuous_policy_takes_the_bounds_its_terms_give(
    metadata: dict[str, Any], allow_short: bool, low: float
) -> None:
    environment = metadata["training"]["config"]["environment"]
    environment.update(actions="continuous", allow_short=allow_short)
    metadata["distribution"] = {"kind": "diag_gaussian"}
    metadata["action_space"] = {"kind": "box", "shape": [1], "low": low, "high": 1.0}
    assert read_contract(json.dumps(metadata)).terms.actions == "continuous"

    metadata["action_space"]["low"] = -0.5
    with pytest.raises(BundleFormatError, match="does not act as its trading terms say"):
        read_contract(json.dumps(metadata))


def test_read_contract_of_a_bundle_older_than_continuous_actions_takes_discrete_ones(
    metadata: dict[str, Any],
) -> None:
    del metadata["training"]["config"]["environment"]["actions"]
    assert read_contract(json.dumps(metadata)).terms == TERMS


@pytest.fixture
def panel(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a bundle of two symbols that can be traded."""
    metadata["features"]["symbols"] = ["BTC", "ETH"]
    metadata["training"]["config"]["environment"].update(actions="continuous")
    metadata["distribution"] = {"kind": "diag_gaussian"}
    metadata["action_space"] = {"kind": "box", "shape": [2], "low": -1.0, "high": 1.0}
    metadata["obs_space"]["shape"] = [2 * SPEC.observation_size]
    return metadata


def test_read_contract_of_several_symbols_names_them_in_their_order(panel: dict[str, Any]) -> None:
    contract = read_contract(json.dumps(panel))
    assert contract.symbols == ("BTC", "ETH")
    assert contract.observation_size == 2 * SPEC.observation_size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["action_space"].update(shape=[3]), r"continuous actions in BTC, ETH\)"),
        (lambda m: m["action_space"].update(shape=[1]), r"continuous actions in BTC, ETH\)"),
        (
            lambda m: m["obs_space"].update(shape=[SPEC.observation_size]),
            "trained on other features",
        ),
        (
            lambda m: m["features"].update(symbols=["BTC", "ETH", "LTC"]),
            "continuous actions in BTC, ETH, LTC",
        ),
        (lambda m: m["features"].update(symbols=["BTC", "BTC"]), "names a symbol twice: BTC, BTC"),
        (
            lambda m: m["training"]["config"]["environment"].update(actions="discrete"),
            "trades BTC, ETH by discrete actions",
        ),
    ],
)
def test_read_contract_of_several_symbols_with_a_contradiction_names_it(
    panel: dict[str, Any], change: Change, message: str
) -> None:
    change(panel)
    with pytest.raises(BundleFormatError, match=message):
        read_contract(json.dumps(panel))
