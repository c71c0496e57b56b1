"""The risk policy: calculators with their settings, and the limits on their metrics."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from tradewind.errors import RiskPolicyError
from tradewind.risk.calculators.adv_participation import AdvParticipationSettings
from tradewind.risk.calculators.base import CalculatorSettings
from tradewind.risk.calculators.concentration import ConcentrationSettings
from tradewind.risk.calculators.depth_shock import DepthShockSettings
from tradewind.risk.calculators.drawdown import DrawdownSettings
from tradewind.risk.calculators.drawdown_velocity import DrawdownVelocitySettings
from tradewind.risk.calculators.expected_shortfall import ExpectedShortfallSettings
from tradewind.risk.calculators.feed_staleness import FeedStalenessSettings
from tradewind.risk.calculators.greeks import GreeksSettings
from tradewind.risk.calculators.kyle_lambda import KyleLambdaSettings
from tradewind.risk.calculators.latency_drift import LatencyDriftSettings
from tradewind.risk.calculators.leverage import LeverageSettings
from tradewind.risk.calculators.registry import CALCULATORS
from tradewind.risk.calculators.stress import StressSettings
from tradewind.risk.calculators.turnover import TurnoverSettings
from tradewind.risk.calculators.ulcer_index import UlcerIndexSettings
from tradewind.risk.calculators.var import VarSettings
from tradewind.risk.calculators.volatility import VolatilitySettings
from tradewind.risk.pretrade import PRE_TRADE_METRICS, PreTradeLimits
from tradewind.risk.rules import RuleSettings, check_rules
from tradewind.settings import Settings, load_settings, parse_settings

__all__ = ["CalculatorsSettings", "LimitSettings", "RiskPolicy"]


class CalculatorsSettings(Settings):
    """Settings of every calculator; one that is left out is enabled with its defaults."""

    drawdown: DrawdownSettings = DrawdownSettings()
    drawdown_velocity: DrawdownVelocitySettings = DrawdownVelocitySettings()
    ulcer_index: UlcerIndexSettings = UlcerIndexSettings()
    volatility: VolatilitySettings = VolatilitySettings()
    var: VarSettings = VarSettings()
    expected_shortfall: ExpectedShortfallSettings = ExpectedShortfallSettings()
    turnover: TurnoverSettings = TurnoverSettings()
    concentration: ConcentrationSettings = ConcentrationSettings()
    leverage: LeverageSettings = LeverageSettings()
    kyle_lambda: KyleLambdaSettings = KyleLambdaSettings()
    depth_shock: DepthShockSettings = DepthShockSettings()
    adv_participation: AdvParticipationSettings = AdvParticipationSettings()
    feed_staleness: FeedStalenessSettings = FeedStalenessSettings()
    latency_drift: LatencyDriftSettings = LatencyDriftSettings()
    stress: StressSettings = StressSettings()
    greeks: GreeksSettings = GreeksSettings()

    def metrics(self) -> tuple[str, ...]:
        """Metrics of the enabled calculators, in the order of the reports."""
        return tuple(
            metric
            for calculator in CALCULATORS
            if self.of(calculator.name).enabled
            for metric in calculator.metrics(self.of(calculator.name))
        )

    def of(self, calculator: str) -> CalculatorSettings:
        """Settings of the calculator of that name."""
        settings: CalculatorSettings = getattr(self, calculator)
        return settings


class LimitSettings(Settings):
    """Limit on one metric."""

    limit: float = Field(gt=0)
    """Utilisation is metric / limit: 1 at the limit."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of this utilisation in the penalty; 0 keeps it out of the reward."""


class RiskPolicy(Settings):
    """What is calculated, how, and within which limits; immutable, identified by its digest."""

    calculators: CalculatorsSettings = CalculatorsSettings()
    limits: Mapping[str, LimitSettings] = Field(default_factory=dict)
    """By metric: what risk_score and penalty are relative to."""
    pre_trade: PreTradeLimits = PreTradeLimits()
    """Limits on an intended order and on the account after it."""
    rules: tuple[RuleSettings, ...] = ()
    """What Evaluate demands, and when."""

    @model_validator(mode="after")
    def _check_limits(self) -> "RiskPolicy":
        known = self.calculators.metrics()
        unknown = [metric for metric in self.limits if metric not in known]
        if unknown:
            message = f"no enabled calculator gives this metric; there are {', '.join(known)}"
            raise ValidationError.from_exception_data(
                "limits",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("limit", "{problem}", {"problem": message}),
                        loc=("limits", metric),
                        input=None,
                    )
                    for metric in unknown
                ],
            )
        return self

    @model_validator(mode="after")
    def _check_rules(self) -> "RiskPolicy":
        metrics = {*self.calculators.metrics(), *PRE_TRADE_METRICS}
        check_rules(self.rules, self.rule_limits(), metrics, PRE_TRADE_METRICS)
        return self

    @classmethod
    def from_yaml(cls, path: Path | str) -> "RiskPolicy":
        """Reads a policy file.

        Raises:
            RiskPolicyError: The file cannot be read or a setting is refused; each with its line.
        """
        return load_settings(path, cls, error=RiskPolicyError)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "RiskPolicy":
        """Validates a policy that is already a mapping.

        Raises:
            RiskPolicyError: A setting is unknown, missing, of the wrong type or out of range.
        """
        return parse_settings(values, cls, source="risk policy", error=RiskPolicyError)

    def rule_limits(self) -> dict[str, float]:
        """Every limit that a rule may refer to, by metric."""
        limits = {metric: settings.limit for metric, settings in self.limits.items()}
        return {**limits, **self.pre_trade.by_metric()}

    def canonical_json(self) -> str:
        """The policy with every default spelled out, keys sorted: equal policies, equal text."""
        values = self.model_dump(mode="json", by_alias=True)
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def digest(self) -> str:
        """SHA-256 over the canonical form, in hexadecimal."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()
