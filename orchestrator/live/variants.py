"""Variants side by side while they trade."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.live.latency import RollingLatency
from orchestrator.records import TickRecord
from tradewind.constants import MAX_PREDICTION_LATENCY_US

__all__ = ["VariantBook"]


@dataclass(slots=True)
class _Variant:
    """What one variant did so far; `value` is what 1 has become, None after it lost everything."""

    value: float | None = 1.0
    peak: float = 1.0
    max_drawdown: float = 0.0
    bar_count: int = 0
    decision_count: int = 0
    refused_count: int = 0
    version: str = ""
    model_compute: RollingLatency = field(
        default_factory=lambda: RollingLatency(MAX_PREDICTION_LATENCY_US)
    )

    def earn(self, bar_return: float) -> None:
        self.bar_count += 1
        if self.value is None:
            return
        self.value *= 1.0 + bar_return
        self.peak = max(self.peak, self.value)
        self.max_drawdown = max(self.max_drawdown, 1.0 - self.value / self.peak)


class VariantBook:
    """Return, risk and latency of each variant, tick by tick.

    The same attribution as `orchestrator.analysis.comparison.split_variants`: what a symbol earns
    in a bar, its fees paid, belongs to the variant whose answer was last used for it, and the
    capital of a variant is the share of its symbols in the account.

    Args:
        symbols: What the account trades.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._symbols = tuple(symbols)
        self._variants: dict[str, _Variant] = {}
        self._owners: dict[str, str] = {}
        self._worth: dict[str, float] = {}
        self._equity: float | None = None

    def take(self, tick: TickRecord) -> None:
        """Takes in a tick."""
        self._book_gains(tick)
        for decision in tick.decisions:
            name = decision.variant or decision.policy
            variant = self._variants.setdefault(name, _Variant())
            variant.decision_count += 1
            if decision.version:
                variant.version = decision.version
                variant.model_compute.add(decision.model_compute_ns)
            if decision.reason:
                variant.refused_count += 1
            else:
                self._owners.update(dict.fromkeys(decision.symbols, name))

    def summary(self) -> list[dict[str, object]]:
        """For the page, in the order of their names."""
        owned = list(self._owners.items())
        return [
            {
                "name": name,
                "version": variant.version,
                "symbols": [symbol for symbol, owner in owned if owner == name],
                "bar_count": variant.bar_count,
                "decision_count": variant.decision_count,
                "refused_count": variant.refused_count,
                "total_return": None if variant.value is None else variant.value - 1.0,
                "max_drawdown": variant.max_drawdown if variant.bar_count else None,
                "model_compute": variant.model_compute.summary(),
            }
            for name, variant in sorted(self._variants.items())
        ]

    def _book_gains(self, tick: TickRecord) -> None:
        worth = {item.symbol: item.quantity * item.mark_price for item in tick.positions}
        spent: dict[str, float] = {}
        for fill in tick.fills:
            cost = fill.quantity * fill.price + fill.fee
            spent[fill.symbol] = spent.get(fill.symbol, 0.0) + cost
        before, self._equity = self._equity, tick.equity
        last_worth, self._worth = self._worth, worth
        if before is None:
            return
        gains: dict[str, float] = {}
        counts: dict[str, int] = {}
        for symbol, owner in self._owners.items():
            gain = worth.get(symbol, 0.0) - last_worth.get(symbol, 0.0) - spent.get(symbol, 0.0)
            gains[owner] = gains.get(owner, 0.0) + gain
            counts[owner] = counts.get(owner, 0) + 1
        for owner, gain in gains.items():
            capital = before * counts[owner] / len(self._symbols)
            if capital > 0.0:
                self._variants[owner].earn(gain / capital)
            else:
                self._variants[owner].value = None
