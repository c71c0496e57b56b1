"""Records what digests, defaults and formulas are, for every later release to be held against.

    python tests/contract/identity/make.py > tests/contract/identity/recorded.json

Run when a part is added or its version is raised: what is recorded of a part and version never
changes otherwise. Whoever changes a formula or a default finds the test of it failing, and raises
the version of the part.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tradewind.identity import stated
from tradewind.market import FeaturePipeline, FeatureSpec, PositionState, TradingTerms, load_sample
from tradewind.market.features import BUILT_IN_GROUPS
from tradewind.risk import OptionPosition, OrderBook, Position, RiskAgentV2, RiskInputs, RiskPolicy
from tradewind.risk.calculators import CALCULATORS

SHIPPED = Path(__file__).parents[3] / "config" / "risk_limits.yaml"
OBSERVED_BARS = 200


def inputs() -> RiskInputs:
    """An account of which everything is known, made without a generator that could change."""
    steps = np.arange(1.0, 1_401.0)
    values = 1e5 * np.exp(np.cumsum(0.004 * np.sin(steps * steps) + 0.0002 * np.cos(steps)))
    times = 1.6e9 + 1_800.0 * np.arange(values.size)
    flows = 10.0 * np.sin(3.0 * steps[:300])
    latencies = 200.0 + 50.0 * np.abs(np.sin(steps)) + 0.01 * steps
    return RiskInputs(
        portfolio_values=values,
        timestamps=times,
        start_of_day_value=1.02 * float(values[-1]),
        trade_timestamps=times[-40:],
        trade_notionals=2e4 * np.sin(steps[:40]),
        capital_base=1e5,
        positions=(Position("BTC", 1.5, 30_000.0), Position("ETH", -10.0, 2_000.0)),
        price_changes=0.03 * flows + 0.1 * np.cos(5.0 * steps[:300]),
        order_flows=flows,
        order_books={
            name: OrderBook(
                bid_prices=price * (1.0 - 1e-4 * steps[:20]),
                bid_sizes=0.2 * steps[:20],
                ask_prices=price * (1.0 + 1e-4 * steps[:20]),
                ask_sizes=0.3 * steps[:20],
            )
            for name, price in (("BTC", 30_000.0), ("ETH", 2_000.0))
        },
        feed_timestamps={"BTC": float(times[-1]) - 1.25, "ETH": float(times[-1]) - 0.5},
        now=float(times[-1]),
        order_latencies_us=np.concatenate([np.tile(latencies, 3), 1.5 * latencies]),
        average_daily_volumes={"BTC": 900.0, "ETH": 4_000.0},
        options=(
            OptionPosition("BTC", "call", 2.0, 1.0, 30_000.0, 33_000.0, 0.25, 0.6, 0.03, 0.0),
            OptionPosition("ETH", "put", -5.0, 1.0, 2_000.0, 1_800.0, 0.1, 0.8),
        ),
        periods_per_year=17_520.0,
    )


def calculators() -> dict[str, Any]:
    policy = RiskPolicy()
    report = RiskAgentV2(policy).calculate_only(inputs())
    found = {
        f"{calculator.name}@{calculator.version}": {
            "defaults": defaults(calculator.settings()),
            "values": {
                metric: report.metric_values.get(metric)
                for metric in calculator.metrics(policy.calculators.of(calculator))
            },
        }
        for calculator in CALCULATORS
    }
    (var,) = (key for key in found if key.startswith("var@"))
    for method in ("parametric", "cornish_fisher"):
        other = RiskPolicy.parse({"calculators": {"var": {"method": method}}})
        values = RiskAgentV2(other).calculate_only(inputs()).metric_values
        found[var]["values"] |= {
            f"{metric} ({method})": values[metric] for metric in ("var_95", "var_999")
        }
    return found


def features() -> dict[str, Any]:
    """The default observation after the first bars of the sample, group by group."""
    spec, pipeline = FeatureSpec(), FeaturePipeline()
    bars = load_sample("BTC")
    for index in range(OBSERVED_BARS):
        pipeline.update(bars.bar(index))
    row = pipeline.observation(PositionState(0.5, 0.01, 7))
    values = dict(zip(spec.component_names, row.tolist(), strict=True))
    prefixes = {"log_returns": "log_return", "ema_ratio": "ema_ratio"}
    return {
        f"{group.name}@{group.version}": {
            "defaults": {name: plain(getattr(spec, name)) for name in group.settings},
            "values": {
                name: value
                for name, value in values.items()
                if name.startswith(prefixes.get(group.name, group.name))
            },
        }
        for group in BUILT_IN_GROUPS
    }


def defaults(settings: Any) -> dict[str, Any]:
    return {name: plain(getattr(settings, name)) for name in type(settings).model_fields}


def plain(value: Any) -> Any:
    """As `tradewind.identity` sees it, with the settings of settings spelled out."""
    if hasattr(type(value), "model_fields"):
        return defaults(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def digests() -> dict[str, str]:
    shipped = RiskPolicy.from_yaml(SHIPPED)
    spec, terms = FeatureSpec(), TradingTerms()
    return {
        "config/risk_limits.yaml": shipped.digest(),
        "config/risk_limits.yaml, release 0.1": str(shipped.identity.former),
        "features": spec.digest,
        "features, release 0.1": str(spec.identity.former),
        "trading terms": terms.identity.digest,
    }


def record() -> dict[str, Any]:
    assert stated(TradingTerms()) == {}
    return {
        "digests": digests(),
        "calculators": calculators(),
        "features": features(),
        "trading": {"trading@1": {"defaults": defaults(TradingTerms())}},
    }


if __name__ == "__main__":
    json.dump(record(), sys.stdout, indent=1)
    print()
