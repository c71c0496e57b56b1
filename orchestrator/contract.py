"""What a bundle says about trading its policy, read and checked before the first bar."""

from dataclasses import dataclass

from tradewind.bundle import ActionSpace, BoxSpace, BundleMetadata, DiscreteSpace
from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.errors import BundleFormatError, SettingsError
from tradewind.market import FeatureSpec, TradingTerms
from tradewind.settings import parse_settings

__all__ = ["TradingContract", "read_contract"]

_ACTION_COUNT = len({ACTION_SELL, ACTION_HOLD, ACTION_BUY})


@dataclass(frozen=True, slots=True)
class TradingContract:
    """What must hold in production as it did in training.

    Attributes:
        features: How the observation is built.
        terms: What the actions mean and what trading costs.
        risk_policy_digest: The risk policy that shaped the reward; None without one.
    """

    features: FeatureSpec
    terms: TradingTerms
    risk_policy_digest: str | None


def read_contract(metadata_json: str) -> TradingContract:
    """Reads the contract of a bundle.

    Args:
        metadata_json: The bundle's metadata.json.

    Raises:
        BundleFormatError: The bundle does not say how to trade its policy, says it in a way that
            is not understood here, or the features built here are not those it was trained on.
    """
    metadata = BundleMetadata.from_json(metadata_json.encode())
    name = f"{metadata.name}/{metadata.version}"
    if metadata.features is None:
        raise BundleFormatError(f"{name} says nothing of its features")
    environment = metadata.training.config.get("environment")
    if not isinstance(environment, dict):
        raise BundleFormatError(f"{name} says nothing of its trading terms")
    if metadata.features.symbols:
        raise BundleFormatError(
            f"{name} trades {', '.join(metadata.features.symbols)} from one account; "
            "here a policy trades one symbol"
        )
    # Bundles from before there were continuous actions and several symbols do not say these.
    environment = {"actions": "discrete", "gross_limit": 1.0, **environment}
    absent = [key for key in TradingTerms.model_fields if key not in environment]
    if absent:
        raise BundleFormatError(f"{name} leaves trading terms out: {', '.join(absent)}")
    try:
        features = parse_settings(metadata.features.spec, FeatureSpec, source="features")
        known = {key: environment[key] for key in TradingTerms.model_fields}
        terms = parse_settings(known, TradingTerms, source="trading terms")
    except SettingsError as problem:
        raise BundleFormatError(f"{name}: {problem}") from None
    if metadata.action_space != _action_space(terms):
        raise BundleFormatError(
            f"{name} does not act as its trading terms say ({terms.actions} actions)"
        )
    if features.digest != metadata.features.digest or metadata.obs_space.shape != (
        features.observation_size,
    ):
        raise BundleFormatError(f"{name} was trained on other features than its specification's")
    return TradingContract(features, terms, metadata.risk.policy_digest if metadata.risk else None)


def _action_space(terms: TradingTerms) -> ActionSpace:
    if terms.actions == "discrete":
        return DiscreteSpace(n=_ACTION_COUNT)
    return BoxSpace.from_bounds((1,), terms.lowest_action, 1.0)
