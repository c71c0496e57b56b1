"""What the orchestrator says of one tick: everything that led to its orders, and what they did.

The decision log stores these records and the event bus hands them to whoever watches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tradewind.market import Bar

__all__ = [
    "BarRecord",
    "FillRecord",
    "OrderRecord",
    "Outcome",
    "PolicyDecision",
    "PositionRecord",
    "RefusedBarRecord",
    "RiskAnswer",
    "TickRecord",
    "Timings",
]


class Outcome(StrEnum):
    """What became of a tick."""

    DECIDED = "DECIDED"  # every answer was verified; orders may follow, or none were needed
    WARM_UP = "WARM_UP"  # too few bars for an observation
    HELD = "HELD"  # the safe thing: nothing was sent; `reasons` say why
    FLATTENED = "FLATTENED"  # the safe thing: every position is being closed
    RECOVERED = "RECOVERED"  # decided before a crash; the accounts are known, the answers are lost


@dataclass(frozen=True, slots=True)
class BarRecord:
    """A bar that the guard let through; `arrived_ns` is the feed's clock when it came."""

    symbol: str
    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    arrived_ns: int
    flags: tuple[str, ...] = ()
    """What was odd about it without being refused: LATE, GAP, JUMP_CONFIRMED."""

    @property
    def bar(self) -> Bar:
        """What the market says, as features are built from it."""
        return Bar(self.start_ns, self.open, self.high, self.low, self.close, self.volume)


@dataclass(frozen=True, slots=True)
class RefusedBarRecord:
    """A bar that the guard kept out: which, why (a `BarFault`), and the same for people."""

    symbol: str
    start_ns: int
    fault: str
    detail: str


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """One answer of a policy, and what it was asked.

    Attributes:
        symbols: What it trades, in the order of its observation and its targets.
        policy: Its name.
        version: The version that answered.
        bundle_sha256: Digest of the network that answered.
        variant: What the inference service's routing chose; empty without routing.
        request_id: Of the Predict.
        exposures: Of each symbol's position, as the observation says it.
        unrealized_returns: Of each symbol's position.
        bars_held: Of each symbol's position.
        observation: What the policy saw, float32, as its little-endian bytes.
        action: Index of a discrete action; None for a continuous one.
        action_values: The numbers of a continuous action, float32; empty for a discrete one.
        targets: Position each symbol should go to, a signed fraction of the allocation's equity;
            None keeps the quantity.
        model_compute_ns: Time of the network alone, in the server.
        reason: Why the answer was not used; empty when it was.
    """

    symbols: tuple[str, ...]
    policy: str
    version: str
    bundle_sha256: str
    variant: str
    request_id: str
    exposures: tuple[float, ...]
    unrealized_returns: tuple[float, ...]
    bars_held: tuple[int, ...]
    observation: bytes
    action: int | None
    action_values: tuple[float, ...]
    targets: tuple[float | None, ...]
    model_compute_ns: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RiskAnswer:
    """One Evaluate: what the account had to do, and the metrics that the rules saw."""

    request_id: str
    decision_id: str
    action: str
    policy_digest: str
    halted: bool
    breaches: tuple[str, ...]
    """`rule: reason` of each enforced breach."""
    risk_score: float | None
    metrics: Mapping[str, float]
    unavailable: Mapping[str, str]
    overlay_digest: str = ""
    """Of the overlay whose stricter limits counted too; empty for none."""


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order that was intended at this tick; what it did stands in later fills."""

    client_order_id: str
    symbol: str
    quantity: float
    reference_price: float
    reason: str
    """Why it was sent (POLICY, FLATTEN, …), or why not (a reason code)."""
    sent: bool
    kind: str = "MARKET"
    limit_price: float | None = None
    stop_price: float | None = None
    time_in_force: str = "GTD"


@dataclass(frozen=True, slots=True)
class FillRecord:
    """A fill that was booked at this tick, before it was decided."""

    sequence: int
    client_order_id: str
    symbol: str
    quantity: float
    price: float
    reference_price: float
    fee: float
    filled_ns: int


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """A symbol at the close of the bar, after the fills of this tick."""

    symbol: str
    quantity: float
    entry_price: float | None
    mark_price: float


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each part of a tick took, in nanoseconds; 0 for what was left out."""

    features_ns: int = 0
    predict_ns: int = 0
    evaluate_ns: int = 0
    journal_ns: int = 0
    submit_ns: int = 0
    bar_to_order_ns: int = 0
    """From the tick's last bar to the broker's acceptance, or to the decision to send nothing."""


@dataclass(frozen=True, slots=True)
class TickRecord:
    """One tick: all bars that close at one time.

    Attributes:
        sequence: Number of the tick, without gaps from 0, over restarts.
        run_id: One start of the orchestrator.
        account: The account, as the risk service knows it.
        close_ns: When the bars close, nanoseconds since the epoch: market time.
        decided_ns: When this was decided: the machine's clock, nanoseconds since the epoch.
        outcome: What became of it.
        reasons: Reason codes, most important first; empty when nothing was out of order.
        bars: Bars that were let through.
        refused_bars: Bars that were not, since the tick before.
        fills: Fills booked since the tick before.
        positions: Each symbol at this close.
        cash: Of the account.
        equity: Cash and positions at their marks.
        fees_paid: Since the account began.
        start_of_day_equity: Equity at the last close before the trading day.
        inputs_digest: BLAKE2b-128 over bars and observations, hexadecimal.
        decisions: One for each policy that was asked.
        risk: The answer to Evaluate; None when it was not asked or did not answer.
        orders: Orders intended here.
        timings: Where the time went.
    """

    sequence: int
    run_id: str
    account: str
    close_ns: int
    decided_ns: int
    outcome: Outcome
    reasons: tuple[str, ...]
    bars: tuple[BarRecord, ...]
    refused_bars: tuple[RefusedBarRecord, ...]
    fills: tuple[FillRecord, ...]
    positions: tuple[PositionRecord, ...]
    cash: float
    equity: float
    fees_paid: float
    start_of_day_equity: float
    inputs_digest: str
    decisions: tuple[PolicyDecision, ...] = ()
    risk: RiskAnswer | None = None
    orders: tuple[OrderRecord, ...] = ()
    timings: Timings = field(default_factory=Timings)
