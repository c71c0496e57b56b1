"""What a bundle says about trading its policy, read and checked before the first bar."""

from dataclasses import dataclass

from tradewind.bundle import ActionSpace, BoxSpace, BundleMetadata, DiscreteSpace
from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.errors import BundleFormatError, SettingsError
from tradewind.market import FeatureSpec, TradingTerms
from tradewind.market.feature_group import KnownGroups
from tradewind.settings import parse_settings

__all__ = ["TradingContract", "read_contract"]

_ACTION_COUNT = len({ACTION_SELL, ACTION_HOLD, ACTION_BUY})


@dataclass(frozen=True, slots=True)
class TradingContract:
    """What must hold in production as it did in training.

    Attributes:
        features: How the observation is built.
        symbols: Several symbols that one observation and one action are of, in order; none for
            one of any name.
        terms: What the actions mean and what trading costs.
        risk_policy_digest: The risk policy that shaped the reward; None without one.
        market: Name of the market whose bars it was trained on; None where the bundle has none.
    """

    features: FeatureSpec
    symbols: tuple[str, ...]
    terms: TradingTerms
    risk_policy_digest: str | None
    market: str | None = None

    @property
    def symbol_count(self) -> int:
        """How many symbols one observation is of."""
        return len(self.symbols) or 1

    @property
    def observation_size(self) -> int:
        """How many components an observation has."""
        return self.symbol_count * self.features.observation_size


def read_contract(metadata_json: str, known: KnownGroups | None = None) -> TradingContract:
    """Reads the contract of a bundle.

    Args:
        metadata_json: The bundle's metadata.json.
        known: The feature groups that it may need; by default Tradewind's own.

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
    # Bundles from before there were continuous actions and several symbols do not say these.
    environment = {"actions": "discrete", "gross_limit": 1.0, **environment}
    absent = [key for key in TradingTerms.model_fields if key not in environment]
    if absent:
        raise BundleFormatError(f"{name} leaves trading terms out: {', '.join(absent)}")
    try:
        features = FeatureSpec.read(metadata.features.spec, known)
        said = {key: environment[key] for key in TradingTerms.model_fields}
        terms = parse_settings(said, TradingTerms, source="trading terms")
    except SettingsError as problem:
        raise BundleFormatError(f"{name}: {problem}") from None
    symbols = metadata.features.symbols
    if len(set(symbols)) != len(symbols):
        raise BundleFormatError(f"{name} names a symbol twice: {', '.join(symbols)}")
    risk_policy_digest = metadata.risk.policy_digest if metadata.risk else None
    market = metadata.features.market
    contract = TradingContract(features, symbols, terms, risk_policy_digest, market)
    if len(symbols) > 1 and terms.actions == "discrete":
        raise BundleFormatError(f"{name} trades {', '.join(symbols)} by discrete actions")
    if metadata.action_space != _action_space(contract):
        raise BundleFormatError(
            f"{name} does not act as its trading terms say ({terms.actions} actions"
            + (f" in {', '.join(symbols)})" if symbols else ")")
        )
    if features.digest != metadata.features.digest or metadata.obs_space.shape != (
        contract.observation_size,
    ):
        raise BundleFormatError(f"{name} was trained on other features than its specification's")
    return contract


def _action_space(contract: TradingContract) -> ActionSpace:
    if contract.terms.actions == "discrete":
        return DiscreteSpace(n=_ACTION_COUNT)
    return BoxSpace.from_bounds((contract.symbol_count,), contract.terms.lowest_action, 1.0)
