"""When a bar ends: time:1m, tick:1000, volume:50, dollar:1e6."""

import re
from dataclasses import dataclass
from typing import Final, Self

from tradewind.errors import MarketDataError

__all__ = ["DOLLAR", "TICK", "TIME", "VOLUME", "BarRule"]

TIME: Final = 0
TICK: Final = 1
VOLUME: Final = 2
DOLLAR: Final = 3

_KINDS: Final = {"time": TIME, "tick": TICK, "volume": VOLUME, "dollar": DOLLAR}
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_LENGTH: Final = re.compile(r"(\d+)\s*(ms|s|min|m|h|d)$")
_DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class BarRule:
    """When a bar ends.

    Attributes:
        text: The rule as written.
        kind: TIME, TICK, VOLUME or DOLLAR.
        size: Nanoseconds, trades, units of the asset, or their price.
    """

    text: str
    kind: int
    size: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a rule.

        Raises:
            MarketDataError: It is none.
        """
        name, _, rest = text.strip().partition(":")
        kind = _KINDS.get(name.strip().lower())
        if kind == TIME:
            length = _LENGTH.match(rest.strip())
            size: float = int(int(length[1]) * _SECONDS[length[2]] * 10**9) if length else 0
            if 0 < size <= _DAY_NS and _DAY_NS % size == 0:
                return cls(text, kind, size)
        elif kind is not None:
            try:
                size = float(rest.replace("_", ""))
            except ValueError:
                size = 0.0
            if 0.0 < size < 1e30 and (kind != TICK or size.is_integer()):
                return cls(text, kind, size)
        raise MarketDataError(
            "bars must be time:LENGTH with a length that divides a day (time:1m, time:1d), "
            f"tick:COUNT, volume:UNITS or dollar:TURNOVER, not {text!r}"
        )
