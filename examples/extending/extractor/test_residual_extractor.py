"""Networks with the extractor are trained, exported, and act as a bundle as their model does."""

from typing import Any

import pytest

from tradewind.errors import SettingsError
from trainer_service.testing import check_algorithm


def parameters(**extractor: Any) -> dict[str, Any]:
    """Of a PPO that learns within a few steps."""
    return {"n_steps": 64, "batch_size": 32, "policy_kwargs": {"features_extractor": extractor}}


def test_bundle_acts_as_its_model_on_held_out_observations() -> None:
    policy = check_algorithm("PPO", parameters(name="residual", layers=1))
    assert (policy.runtime, policy.runtime_reason) == ("compiled", "")


def test_options_of_the_extractor_are_checked_as_all_others() -> None:
    with pytest.raises(SettingsError, match=r"features_extractor.*layers: Input should be"):
        check_algorithm("PPO", parameters(name="residual_extractor:Residual", layers=0))
