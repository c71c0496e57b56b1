"""What a broker and a feed are told of the account that they are to serve."""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.markets import Markets

__all__ = ["Mandate"]


@dataclass(frozen=True, slots=True)
class Mandate:
    """An account, what it trades, and where it stands.

    Attributes:
        symbols: What is traded.
        interval_ns: Length of a bar, in nanoseconds.
        account: Its name.
        cash: What it begins with.
        folder: Where a broker may keep files, named after the account.
        markets: Which bars there should be; None where nothing is known of them.
        after_ns: Close of the last bars that it has traded on, nanoseconds since the epoch: a feed
            goes on with those after it. None when it begins.
    """

    symbols: tuple[str, ...]
    interval_ns: int
    account: str = "default"
    cash: float = 0.0
    folder: Path = Path()
    markets: Markets | None = None
    after_ns: int | None = None

    @property
    def known_markets(self) -> Markets:
        """The markets, or that none is known."""
        return self.markets or Markets.unknown(self.symbols, self.interval_ns)
