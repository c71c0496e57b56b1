"""Bundles of every released format version load, verify and act, for ever."""

from pathlib import Path

import numpy as np
import pytest

from tradewind.bundle import BundleStore
from tradewind.policy import TorchScriptPolicy

FOLDER = Path(__file__).parent
RELEASED = {
    "store_v1": {
        "tiny-dqn": "8162faa09035a0d2910448eaef4bdf7732799f4721495dc2f5e5b0933606ce8d",
        "tiny-sac": "5a94afc70f6f5c2299547cf3465579ca37aaab42fca07327d06b4549b721930f",
        "tiny-td3": "e8fc3ef7aa022052c1d35e5507afa3cff1dabb4466b9af5dbeed33c04733214b",
    },
    "store_v2": {
        "tiny-dqn": "3a72fa7c49d2edc5b850708e5cdc5f81bfd94e40947fc5d2d1738f5516b1e8f0",
        "tiny-sac": "9b6513a7c666be5b8e17ab1cac0575d3509bae6070fe60f7b16e32fb1aad6298",
        "tiny-td3": "4a10a33b487eeccebbbc70d54ba6c5115d80133c5f76415b506276208093de7e",
    },
}
BUNDLES = [
    (store, policy, sha256)
    for store, policies in RELEASED.items()
    for policy, sha256 in policies.items()
]


@pytest.mark.parametrize(("store", "policy", "sha256"), BUNDLES)
def test_released_bundle_is_verified_and_gives_its_golden_answers(
    store: str, policy: str, sha256: str
) -> None:
    bundles = BundleStore(FOLDER / store)
    assert bundles.versions(policy) == ("2026-11-22.1",)

    loaded = TorchScriptPolicy.load_bundle(bundles.path(policy, "2026-11-22.1"))

    assert loaded.metadata.sha256 == sha256
    assert f"store_v{loaded.metadata.format_version}" == store
    assert (loaded.runtime, loaded.runtime_reason) == ("compiled", "")
    actions, _ = loaded.predict_batch(loaded.golden.observations)
    if actions.dtype == np.int64:
        np.testing.assert_array_equal(actions, loaded.golden.actions)
    else:
        np.testing.assert_allclose(actions, loaded.golden.actions, rtol=0.0, atol=1e-5)


def test_every_released_store_is_checked() -> None:
    stores = {path.name for path in FOLDER.glob("store_v*")}
    assert stores == set(RELEASED)
    for store, policies in RELEASED.items():
        assert set(BundleStore(FOLDER / store).policies()) == set(policies)


@pytest.mark.parametrize("store", RELEASED)
def test_stochastic_actions_of_a_released_bundle_stay_the_same(store: str) -> None:
    discrete = TorchScriptPolicy.load_bundle(FOLDER / store / "tiny-dqn/2026-11-22.1")
    observation = discrete.golden.observations[0]
    actions = {
        seed: discrete.predict(observation, deterministic=False, seed=seed)[0]
        for seed in range(200)
    }
    greedy, _ = discrete.predict(observation)
    explored = {seed: action for seed, action in actions.items() if action != greedy}
    assert explored == {57: 1, 119: 2, 122: 1, 149: 2, 165: 2, 180: 2, 195: 2}

    continuous = TorchScriptPolicy.load_bundle(FOLDER / store / "tiny-sac/2026-11-22.1")
    action, _ = continuous.predict(
        continuous.golden.observations[0], deterministic=False, seed=2**64 - 1
    )
    np.testing.assert_allclose(action, [-0.5097725, -2.1441071], rtol=0.0, atol=1e-5)

    certain = TorchScriptPolicy.load_bundle(FOLDER / store / "tiny-td3/2026-11-22.1")
    observation = certain.golden.observations[0]
    action, info = certain.predict(observation, deterministic=False, seed=9)
    assert info["seed"] == 9
    np.testing.assert_allclose(action, certain.golden.actions[0], rtol=0.0, atol=1e-5)
