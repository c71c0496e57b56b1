"""The digest that release 0.1 gave a risk policy: over every setting that there was, spelled out.

Bundles, decision logs and audit trails of that release bear it. What came later is left out here,
so that a later release still finds the digest of a policy that says nothing new.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

__all__ = ["former_digest", "former_values"]

_CALCULATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "drawdown": (),
    "drawdown_velocity": ("window_bars",),
    "ulcer_index": ("window_bars",),
    "volatility": (
        "window_bars", "min_returns", "periods_per_year", "ewma_lambda", "target_return",
    ),
    "var": ("window_bars", "method"),
    "expected_shortfall": ("window_bars",),
    "turnover": (),
    "concentration": (),
    "leverage": (),
    "kyle_lambda": ("window_intervals", "min_intervals"),
    "depth_shock": (),
    "adv_participation": (),
    "feed_staleness": ("max_clock_skew_ms",),
    "latency_drift": ("recent_orders", "baseline_orders"),
    "stress": ("scenarios",),
    "greeks": (),
}  # fmt: skip
_LIMIT: Final = ("limit", "weight")
_PRE_TRADE: Final = (
    "order_notional", "position_notional", "gross_leverage", "adv_participation", "book_impact",
)  # fmt: skip
_RULE: Final = (
    "name", "when", "action", "unavailable_action", "severity", "shadow", "window", "active_utc",
    "metric", "over", "of_limit", "all", "any", "not",
    "at_least", "evaluations", "seconds", "start", "end",
)  # fmt: skip


def former_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """What release 0.1 knew of a policy.

    Args:
        values: The policy as JSON, every default spelled out.
    """
    return {
        "calculators": {
            name: _only(values["calculators"][name], ("enabled", *settings))
            for name, settings in _CALCULATORS.items()
        },
        "limits": {metric: _only(item, _LIMIT) for metric, item in values["limits"].items()},
        "pre_trade": _only(values["pre_trade"], _PRE_TRADE),
        "rules": [_only(rule, _RULE, deep=True) for rule in values["rules"]],
    }


def former_digest(values: Mapping[str, Any]) -> str:
    """SHA-256 over what `former_values` gave, in hexadecimal."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _only(value: Any, names: Collection[str], *, deep: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _only(item, names, deep=True) if deep else item
            for key, item in value.items()
            if key in names
        }
    return [_only(item, names, deep=deep) for item in value] if isinstance(value, list) else value
