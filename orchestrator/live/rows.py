"""A tick as a row of the page."""

from orchestrator.records import PolicyDecision, TickRecord

__all__ = ["tick_row"]


def tick_row(tick: TickRecord) -> dict[str, object]:
    """What the stream of decisions shows of a tick; times in milliseconds since the epoch."""
    risk = tick.risk
    return {
        "sequence": tick.sequence,
        "close_ms": tick.close_ns // 1_000_000,
        "outcome": str(tick.outcome),
        "reasons": [str(reason) for reason in tick.reasons],
        "equity": tick.equity,
        "risk_action": None if risk is None else risk.action,
        "breaches": [] if risk is None else list(risk.breaches),
        "decisions": [_decision(decision) for decision in tick.decisions],
        "orders": [
            {
                "symbol": order.symbol,
                "quantity": order.quantity,
                "price": order.reference_price,
                "reason": order.reason,
                "sent": order.sent,
            }
            for order in tick.orders
        ],
        "fill_count": len(tick.fills),
        "refused_bars": [
            {"symbol": bar.symbol, "fault": bar.fault, "detail": bar.detail}
            for bar in tick.refused_bars
        ],
        "bar_to_order_us": tick.timings.bar_to_order_ns / 1e3,
    }


def _decision(decision: PolicyDecision) -> dict[str, object]:
    return {
        "symbols": list(decision.symbols),
        "policy": decision.policy,
        "variant": decision.variant,
        "version": decision.version,
        "action": decision.action,
        "targets": list(decision.targets),
        "reason": decision.reason,
    }
