"""What a bundle says about trading its policy, read and checked before the first bar."""

from dataclasses import dataclass

from tradewind.bundle import ActionSpace, BoxSpace, BundleMetadata, DiscreteSpace
from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.errors import BundleFormatError, SettingsError
from tradewind.identity import Match, Parts
from tradewind.market import FeatureSpec, TradingTerms
from tradewind.market.feature_group import KnownGroups
from tradewind.settings import parse_settings

__all__ = ["TradingContract", "read_contract"]

_FORMER_TERMS = (
    "actions", "initial_cash", "transaction_cost", "slippage", "allow_short", "position_fraction",
    "gross_limit", "rebalance_threshold",
)  # fmt: skip
"""Trading terms that every bundle has to say; a release that adds one gives it a default."""

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
        risk_parts: What the risk policy's digest is taken over; None where the bundle does not
            say, as those of release 0.1.
        former: Whether the digest of its features has the form of release 0.1.
        other_formulas: What it was trained with that is calculated otherwise here, in words; it
            must not be traded then.
    """

    features: FeatureSpec
    symbols: tuple[str, ...]
    terms: TradingTerms
    risk_policy_digest: str | None
    market: str | None = None
    risk_parts: Parts | None = None
    former: bool = False
    other_formulas: tuple[str, ...] = ()

    @property
    def symbol_count(self) -> int:
        """How many symbols one observation is of."""
        return len(self.symbols) or 1

    @property
    def observation_size(self) -> int:
        """How many components an observation has."""
        return self.symbol_count * self.features.observation_size


def read_contract(
    metadata_json: str, known: KnownGroups | None = None, *, any_formulas: bool = False
) -> TradingContract:
    """Reads the contract of a bundle.

    Args:
        metadata_json: The bundle's metadata.json.
        known: The feature groups that it may need; by default Tradewind's own.
        any_formulas: Gives the contract also when observations or the account are calculated
            otherwise here; what only looks back can say so.

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
    absent = [key for key in _FORMER_TERMS if key not in environment]
    if absent:
        raise BundleFormatError(f"{name} leaves trading terms out: {', '.join(absent)}")
    try:
        features = FeatureSpec.read(metadata.features.spec, known)
        said = {key: environment[key] for key in TradingTerms.model_fields if key in environment}
        terms = parse_settings(said, TradingTerms, source="trading terms")
    except SettingsError as problem:
        raise BundleFormatError(f"{name}: {problem}") from None
    symbols = metadata.features.symbols
    if len(set(symbols)) != len(symbols):
        raise BundleFormatError(f"{name} names a symbol twice: {', '.join(symbols)}")
    record = metadata.features
    of_features = features.identity.match(record.digest, record.parts)
    of_terms = _match_terms(metadata, terms)
    formulas = (*of_features.formulas, *of_terms.formulas)
    if formulas and not any_formulas:
        raise BundleFormatError(
            f"{name} was trained with other formulas than this release has: {'; '.join(formulas)}. "
            "Trade it with the release that it was trained with, or train it again"
        )
    contract = TradingContract(
        features,
        symbols,
        terms,
        metadata.risk.policy_digest if metadata.risk else None,
        metadata.features.market,
        metadata.risk.parts if metadata.risk else None,
        former=of_features.former,
        other_formulas=formulas,
    )
    _check_spaces(name, metadata, contract)
    for what, match in (
        ("features than its specification's", of_features),
        ("trading terms than its configuration's", of_terms),
    ):
        if not (match.same or match.formulas):
            raise BundleFormatError(f"{name} was trained on other {what}: {match.reason}")
    return contract


def _check_spaces(name: str, metadata: BundleMetadata, contract: TradingContract) -> None:
    symbols, terms = contract.symbols, contract.terms
    if len(symbols) > 1 and terms.actions == "discrete":
        raise BundleFormatError(f"{name} trades {', '.join(symbols)} by discrete actions")
    if metadata.action_space != _action_space(contract):
        raise BundleFormatError(
            f"{name} does not act as its trading terms say ({terms.actions} actions"
            + (f" in {', '.join(symbols)})" if symbols else ")")
        )
    if metadata.obs_space.shape != (contract.observation_size,):
        raise BundleFormatError(f"{name} was trained on other features than its specification's")


def _match_terms(metadata: BundleMetadata, terms: TradingTerms) -> Match:
    recorded = metadata.terms
    if recorded is None:
        return terms.identity.match_former()
    return terms.identity.match(recorded.digest, recorded.parts)


def _action_space(contract: TradingContract) -> ActionSpace:
    if contract.terms.actions == "discrete":
        return DiscreteSpace(n=_ACTION_COUNT)
    return BoxSpace.from_bounds((contract.symbol_count,), contract.terms.lowest_action, 1.0)
