"""What an account would look like after an order, and how much of the order is still allowed.

An order is judged before it is sent. Quantities are signed (buys positive). A position is valued at
its own mark, whatever an order says; an order, and what it adds to a position, at the worse of its
price and the market: the highest of its price, the mark of its symbol's position and the mid of its
symbol's book. An order in a symbol of which no market price is known has no value, so that limits
on values stop it.

An order that only reduces its position is never stopped by a limit on positions: an account over
its limit must be able to come back under it. Limits on the order itself apply to every order.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from tradewind.errors import FieldViolation, RiskInputError
from tradewind.risk.book_side import BOOK_IMPACT, BookSide, book_problem, mid_of
from tradewind.risk.inputs import Position, RiskInputs
from tradewind.settings import Settings

__all__ = [
    "PRE_TRADE_METRICS",
    "IntendedOrder",
    "PreTradeCheck",
    "PreTradeLimits",
    "check_order",
    "refuse_order",
]

ORDER_NOTIONAL = "pre_trade.order_notional"
POSITION_NOTIONAL = "pre_trade.position_notional"
GROSS_LEVERAGE = "pre_trade.gross_leverage"
ADV_PARTICIPATION = "pre_trade.adv_participation"

POSITION_METRICS = frozenset({POSITION_NOTIONAL, GROSS_LEVERAGE, ADV_PARTICIPATION})
"""Metrics of the position after the order; they do not apply to an order that only reduces it."""

VALUE_METRICS = frozenset({ORDER_NOTIONAL, POSITION_NOTIONAL, GROSS_LEVERAGE})
"""Metrics that take a market price."""

PRE_TRADE_METRICS = POSITION_METRICS | {ORDER_NOTIONAL, BOOK_IMPACT}
"""Metrics that exist only beside an intended order."""


class PreTradeLimits(Settings):
    """The `pre_trade` section of the risk policy YAML; an absent limit is not checked."""

    order_notional: float | None = Field(default=None, gt=0.0)
    """Largest order, in account currency."""

    position_notional: float | None = Field(default=None, gt=0.0)
    """Largest position in one symbol after the order, in account currency."""

    gross_leverage: float | None = Field(default=None, gt=0.0)
    """Largest sum of absolute notionals over capital_base after the order."""

    adv_participation: float | None = Field(default=None, gt=0.0)
    """Largest position in the symbol after the order, as a fraction of its average daily volume."""

    book_impact: float | None = Field(default=None, gt=0.0)
    """Largest difference between the order's average price through the book and the mid, as a
    fraction of the mid."""

    def by_metric(self) -> dict[str, float]:
        """The limits that are set, by the name rules use."""
        named = {f"pre_trade.{name}": limit for name, limit in self}
        return {metric: limit for metric, limit in named.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class IntendedOrder:
    """An order not yet sent: signed `quantity` in units of the asset, at `price`."""

    symbol: str
    quantity: float
    price: float


@dataclass(frozen=True, slots=True)
class PreTradeCheck:
    """The account after the order.

    Attributes:
        symbol: The order's symbol.
        position_after: Signed quantity held after the order; None when what is held before is not
            known.
        reduces_only: The order brings the position towards zero and not beyond.
        values: The metrics of PRE_TRADE_METRICS that could be calculated.
        unavailable: By metric, and for `allowed_quantity`: why there is no value.
        allowed_quantity: Largest quantity in the order's direction, with its sign, that breaks
            no limit; None when it cannot be said.
        binding_limit: The metric, or `book_depth`, that `allowed_quantity` stops at.
    """

    symbol: str
    position_after: float | None
    reduces_only: bool
    values: Mapping[str, float]
    unavailable: Mapping[str, str]
    allowed_quantity: float | None
    binding_limit: str

    @property
    def not_applicable(self) -> frozenset[str]:
        """The metrics whose limits do not concern this order."""
        return POSITION_METRICS if self.reduces_only else frozenset()


def check_order(order: IntendedOrder, inputs: RiskInputs, limits: PreTradeLimits) -> PreTradeCheck:
    """Calculates the account after an order.

    Args:
        order: The order.
        inputs: The account before it.
        limits: What `allowed_quantity` must stay within.

    Raises:
        RiskInputError: The order has no symbol, no quantity or no positive price.
    """
    _check(order)
    account = _Account.of(order, inputs)
    values, unavailable = account.metrics(abs(order.quantity))
    allowed, binding = None, ""
    gaps = [metric for metric in limits.by_metric() if metric in account.missing]
    if not limits.by_metric():
        unavailable["allowed_quantity"] = "the policy sets no pre-trade limit"
    elif gaps:
        unavailable["allowed_quantity"] = "; ".join(
            f"{metric} is unavailable: {account.missing[metric]}" for metric in gaps
        )
    else:
        size, binding = account.largest_size(limits)
        allowed = math.copysign(size, order.quantity)
    after = account.position_after(abs(order.quantity))
    return PreTradeCheck(
        symbol=order.symbol,
        position_after=after if math.isfinite(after) else None,
        reduces_only=account.reduces_only(abs(order.quantity)),
        values=values,
        unavailable=unavailable,
        allowed_quantity=allowed,
        binding_limit=binding,
    )


def refuse_order(order: IntendedOrder, problem: RiskInputError) -> PreTradeCheck:
    """The check of an order that `check_order` refuses: nothing is known, and nothing allowed.

    Args:
        order: The order.
        problem: What `check_order` raised.
    """
    reason = "; ".join(map(str, problem.violations))
    return PreTradeCheck(
        symbol=order.symbol,
        position_after=None,
        reduces_only=False,
        values={},
        unavailable=dict.fromkeys((*sorted(PRE_TRADE_METRICS), "allowed_quantity"), reason),
        allowed_quantity=None,
        binding_limit="",
    )


def _check(order: IntendedOrder) -> None:
    violations = []
    if not order.symbol:
        violations.append(FieldViolation("intended_order.symbol", "required"))
    if not math.isfinite(order.quantity) or order.quantity == 0.0:
        violations.append(
            FieldViolation(
                "intended_order.quantity",
                f"must be finite and not zero (buy positive, sell negative), not {order.quantity}",
            )
        )
    if not math.isfinite(order.price) or order.price <= 0.0:
        description = f"must be finite and positive, not {order.price}"
        violations.append(FieldViolation("intended_order.price", description))
    if violations:
        raise RiskInputError("the intended order is refused", violations)


@dataclass(frozen=True, slots=True)
class _Account:
    """What the metrics of an order need of the account, and why some of it is missing.

    `held` is the position in the order's symbol and `mark` its price, `direction` the order's sign
    and `price` what it is valued at; NaN where there is none.
    """

    direction: float
    price: float
    mark: float
    held: float
    other_notional: float
    capital: float
    daily_volume: float
    book: "BookSide | None"
    missing: Mapping[str, str]

    @classmethod
    def of(cls, order: IntendedOrder, inputs: RiskInputs) -> "_Account":
        symbol, capital = order.symbol, inputs.capital_base
        volume = inputs.average_daily_volumes.get(symbol)
        book = inputs.order_books.get(symbol)
        own = [item for item in inputs.positions if item.symbol == symbol]
        held = sum(item.quantity for item in own)
        others, unpriced = _value_others(symbol, inputs.positions)
        problems = {
            GROSS_LEVERAGE: _number_problem("capital_base", capital),
            ADV_PARTICIPATION: _number_problem(f"average_daily_volumes[{symbol!r}]", volume),
            BOOK_IMPACT: book_problem(f"order_books[{symbol!r}]", book),
        }
        marks = [item.price for item in own if _is_price(item.price)]
        market = marks if problems[BOOK_IMPACT] or book is None else [*marks, mid_of(book)]
        # What is held and has no mark has no value, though the market may have a price.
        mark = math.nan if held and not marks else max(market, default=math.nan)
        if unpriced:
            problems[GROSS_LEVERAGE] = unpriced
        if not market:
            problems |= dict.fromkeys(VALUE_METRICS, _no_market(symbol, own))
        elif math.isnan(mark):
            reason = f"the position in {symbol} has no mark: its price must be finite and positive"
            problems |= dict.fromkeys(VALUE_METRICS - {ORDER_NOTIONAL}, reason)
        if not inputs.positions:
            held = math.nan
            reason = "positions: none given; a position of quantity 0 says that there is none"
            problems |= dict.fromkeys(POSITION_METRICS, reason)
        elif not math.isfinite(held):
            reason = f"the position in {symbol} is not finite"
            problems |= dict.fromkeys(POSITION_METRICS, reason)
        missing = {metric: problem for metric, problem in problems.items() if problem}
        side = None
        if book is not None and BOOK_IMPACT not in missing:
            side = BookSide.of(book, order.quantity > 0.0)
        return cls(
            direction=math.copysign(1.0, order.quantity),
            price=max(order.price, *market) if market else math.nan,
            mark=max(marks) if marks else mark,
            held=held,
            other_notional=others,
            capital=capital or math.nan,
            daily_volume=volume or math.nan,
            book=side,
            missing=missing,
        )

    def position_after(self, size: float) -> float:
        return self.held + self.direction * size

    def reduces_only(self, size: float) -> bool:
        return self.held * self.direction < 0.0 and size <= abs(self.held)

    def metrics(self, size: float) -> tuple[dict[str, float], dict[str, str]]:
        """The metrics of an order of `size`, and why the others have no value."""
        after = abs(self.position_after(size))
        # All of it at the mark, and what the order adds by as much more as it is worse.
        notional = after * self.mark + self._added(size) * (self.price - self.mark)
        values = {
            ORDER_NOTIONAL: size * self.price,
            POSITION_NOTIONAL: notional,
            GROSS_LEVERAGE: (self.other_notional + notional) / self.capital,
            ADV_PARTICIPATION: after / self.daily_volume,
        }
        missing = dict(self.missing)
        if self.book is not None:
            if size > self.book.depth:
                missing[BOOK_IMPACT] = (
                    f"the book holds {self.book.depth:g}, less than the order's {size:g}"
                )
            else:
                values[BOOK_IMPACT] = self.book.impact(size)
        for metric, value in values.items():
            if not math.isfinite(value):
                missing.setdefault(metric, "the result is not finite")
        return {name: value for name, value in values.items() if name not in missing}, missing

    def largest_size(self, limits: PreTradeLimits) -> tuple[float, str]:
        """The largest size that breaks no limit, and what it stops at; nothing may be missing."""
        by_metric = limits.by_metric()
        size, binding = min(self._sizes(limits))
        size = min(size, sys.float_info.max)
        # The closed forms are exact up to rounding: step back, ever wider, until the metrics agree.
        step = math.ulp(max(size, abs(self.held)))
        while size > 0.0 and self._breaks(size, by_metric):
            size = max(size - step, 0.0)
            step *= 2.0
        return size, binding

    def _sizes(self, limits: PreTradeLimits) -> Iterator[tuple[float, str]]:
        if limits.order_notional is not None:
            yield limits.order_notional / self.price, ORDER_NOTIONAL
        if limits.position_notional is not None:
            yield self._size_to_be_worth(limits.position_notional), POSITION_NOTIONAL
        if limits.gross_leverage is not None:
            notional = limits.gross_leverage * self.capital - self.other_notional
            yield self._size_to_be_worth(notional), GROSS_LEVERAGE
        if limits.adv_participation is not None:
            largest = limits.adv_participation * self.daily_volume
            yield self._size_to_reach(largest), ADV_PARTICIPATION
        if limits.book_impact is not None:
            assert self.book is not None
            yield self.book.largest_size(limits.book_impact)

    def _added(self, size: float) -> float:
        """The part of an order of `size` that does not close what is held."""
        towards = self.held * self.direction
        return size if towards >= 0.0 else max(size + towards, 0.0)

    def _size_to_be_worth(self, largest_notional: float) -> float:
        """Size at which the position's notional is the largest; closing is always allowed."""
        towards = self.held * self.direction
        # In units of what the order adds: those held count as fewer where they are worth less.
        counted = towards * (self.mark / self.price) if towards > 0.0 else towards
        return max(largest_notional / self.price - counted, -towards, 0.0)

    def _size_to_reach(self, largest_position: float) -> float:
        """Size at which the absolute position is `largest_position`; closing is always allowed."""
        towards = self.held * self.direction
        closing = max(-towards, 0.0)
        return max(largest_position - towards, closing)

    def _breaks(self, size: float, limits: Mapping[str, float]) -> bool:
        values, _ = self.metrics(size)
        exempt = POSITION_METRICS if self.reduces_only(size) else frozenset()
        return any(
            metric not in exempt and not values.get(metric, math.inf) <= limit
            for metric, limit in limits.items()
        )


def _is_price(price: float) -> bool:
    return 0.0 < price < math.inf


def _value_others(symbol: str, positions: Sequence[Position]) -> tuple[float, str]:
    """The notional of the positions in other symbols, and why it is not known."""
    notional = 0.0
    for item in positions:
        if item.symbol == symbol or item.quantity == 0.0:
            continue
        if not (math.isfinite(item.quantity) and _is_price(item.price)):
            return math.nan, f"the position in {item.symbol} has no finite notional at its mark"
        notional += abs(item.quantity * item.price)
    return notional, "" if math.isfinite(notional) else "the other positions are not finite"


def _no_market(symbol: str, own: Sequence[Position]) -> str:
    given = f"that of its position is {own[0].price}" if own else "it has no position with a mark"
    return f"no market price of {symbol} is known: {given}, and no usable order book is given"


def _number_problem(name: str, value: float | None) -> str:
    if value is None:
        return f"{name}: not given"
    if not 0.0 < value < math.inf:
        return f"{name} must be finite and positive, not {value}"
    return ""
