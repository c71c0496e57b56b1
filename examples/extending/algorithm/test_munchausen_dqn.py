"""The algorithm trains, is exported, and acts as a bundle as its model does."""

import numpy as np
import pytest

from tradewind.errors import SettingsError
from trainer_service.testing import check_algorithm

PARAMETERS = {"learning_starts": 64, "batch_size": 16, "temperature": 0.1}


@pytest.mark.parametrize("name", ["munchausen_dqn:MunchausenDQN", "M-DQN"])
def test_bundle_acts_as_its_model_on_held_out_observations(name: str) -> None:
    policy = check_algorithm(name, PARAMETERS)

    assert (policy.runtime, policy.runtime_reason) == ("compiled", "")
    assert policy.metadata.algo == "SB3-M-DQN"
    assert policy.metadata.distribution.kind == "categorical_logits"
    observation = np.zeros(policy.metadata.obs_space.shape, dtype=np.float32)
    drawn = {policy.predict(observation, deterministic=False, seed=it)[0] for it in range(200)}
    assert drawn == {0, 1, 2}


def test_parameters_of_the_algorithm_are_checked_as_all_others() -> None:
    with pytest.raises(SettingsError) as refusal:
        check_algorithm("M-DQN", {**PARAMETERS, "temperature": 0.0, "momentum": 1.0})
    fields = {violation.field for violation in refusal.value.violations}
    assert fields == {"algo_params.temperature", "algo_params.momentum"}
