"""Requests that carry RiskInputs: the engine's arrays at once, the RiskInputs for who asks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from tradewind.api.risk.v1 import risk_pb2
from tradewind.risk import FloatArray, OptionPosition, OrderBook, Position, RiskInputs
from tradewind.risk.engine.arrays import NO_SERIES, AccountArrays
from tradewind.risk.engine.snapshot import (
    BOOK_WIDTH,
    HEADER_SIZE,
    IS_CALL,
    OPTION_WIDTH,
    POSITION_WIDTH,
    VOLUME,
    has,
)
from tradewind.risk.inputs import SCALARS
from tradewind.rpc.risk.risk_codec import risk_inputs_from_message
from tradewind.rpc.risk.risk_scan import (
    BOOKS,
    COUNTS_AT,
    FEEDS,
    FIELD_AT,
    LEVELS,
    NAMES_AT,
    OPTIONS,
    POSITIONS,
    TRADES,
    VOLUMES,
    scan_request,
)

__all__ = ["RiskRequest", "ScannedInputs", "request_decoder"]

MessageT = TypeVar("MessageT", bound=Message)


class ScannedInputs:
    """Inputs that the kernel has read.

    Args:
        data: The request.
        block: What the kernel gave.
        layout: What the kernel gave.

    Attributes:
        longest: Number of elements of the longest series or list.
    """

    __slots__ = ("_block", "_data", "_layout", "_levels_at", "longest")

    def __init__(self, data: bytes, block: FloatArray, layout: list[int]) -> None:
        self._data = data
        self._block = block
        self._layout = layout
        counts = layout[COUNTS_AT:NAMES_AT]
        self.longest = max(counts)
        self._levels_at = (
            HEADER_SIZE
            + counts[POSITIONS] * POSITION_WIDTH
            + counts[OPTIONS] * OPTION_WIDTH
            + counts[FEEDS]
            + counts[BOOKS] * BOOK_WIDTH
        )

    def arrays(self) -> AccountArrays:
        """The inputs as the engine calculates on them."""
        block, counts = self._block, self._layout[COUNTS_AT:NAMES_AT]
        at = self._levels_at + 2 * counts[LEVELS]
        parts = [block[:at]]
        for count in (*counts[: TRADES + 1], counts[TRADES]):
            parts.append(block[at : at + count] if count else NO_SERIES)
            at += count
        return AccountArrays(*parts)

    def names(self) -> list[str]:
        """Of the positions, options, feeds, books and volumes."""
        spans = iter(self._layout[NAMES_AT:])
        return [
            self._data[start:stop].decode("ascii") for start, stop in zip(spans, spans, strict=True)
        ]

    def inputs(self) -> RiskInputs:
        """The inputs as objects."""
        arrays, counts = self.arrays(), self._layout[COUNTS_AT:NAMES_AT]
        names = iter(self.names())
        positions, options, feeds, books, volumes = (
            [next(names) for _ in range(counts[kind])] for kind in range(POSITIONS, VOLUMES + 1)
        )
        header = self._block[:HEADER_SIZE].tolist()
        rows = iter(self._block[HEADER_SIZE : self._levels_at].tolist())

        given: dict[str, Any] = arrays.series() | {
            name: _optional(header, has(name)) for name in SCALARS
        }

        def row(width: int) -> list[float]:
            return [next(rows) for _ in range(width)]

        return RiskInputs(
            **given,
            positions=tuple(Position(name, *row(POSITION_WIDTH)[:VOLUME]) for name in positions),
            options=tuple(_option(name, row(OPTION_WIDTH)) for name in options),
            feed_timestamps={name: next(rows) for name in feeds},
            order_books=self._books(books, list(rows)),
            average_daily_volumes=dict(
                zip(volumes, self._block[self._block.size - len(volumes) :].tolist(), strict=True)
            ),
        )

    def _books(self, names: list[str], sizes: list[float]) -> dict[str, OrderBook]:
        books = {}
        at = self._levels_at
        for number, name in enumerate(names):
            sides = []
            for levels in (sizes[BOOK_WIDTH * number], sizes[BOOK_WIDTH * number + 1]):
                for _ in ("prices", "sizes"):
                    sides.append(self._block[at : at + int(levels)])
                    at += int(levels)
            books[name] = OrderBook(*sides)
        return books


def _optional(header: list[float], at: int) -> float | None:
    return header[at + 1] if header[at] else None


def _option(symbol: str, row: list[float]) -> OptionPosition:
    return OptionPosition(symbol, "call" if row[IS_CALL] else "put", *row[:IS_CALL])


@dataclass(frozen=True, slots=True)
class RiskRequest(Generic[MessageT]):
    """A request as it was received.

    Attributes:
        message: The request; its inputs are in it only if `scanned` is None.
        scanned: Its inputs; None if they were left to protobuf.
        inputs_field: Name of the message's field of inputs.
    """

    message: MessageT
    scanned: ScannedInputs | None
    inputs_field: str

    def inputs(self) -> RiskInputs:
        """The inputs as objects.

        Raises:
            RiskInputError: An option without a kind, or series of different lengths.
        """
        if self.scanned is not None:
            return self.scanned.inputs()
        return risk_inputs_from_message(getattr(self.message, self.inputs_field))


def request_decoder(message_type: type[MessageT]) -> Callable[[bytes], RiskRequest[MessageT]]:
    """A deserializer of requests whose field number 1 is their RiskInputs.

    Whatever the bytes are, the request is the one that `message_type.FromString` reads, and the
    deserializer raises google.protobuf.message.DecodeError whenever that does.
    """
    field = message_type.DESCRIPTOR.fields_by_number[1]
    assert field.message_type is risk_pb2.RiskInputs.DESCRIPTOR
    parse, inputs_field = message_type.FromString, field.name
    scan_request(b"")  # loads the kernel now, not in the first call

    def decode(data: bytes) -> RiskRequest[MessageT]:
        block, scanned = scan_request(data)
        if scanned.size == 0:
            return RiskRequest(parse(data), None, inputs_field)
        layout: list[int] = scanned.tolist()
        rest = data[: layout[FIELD_AT]] + data[layout[FIELD_AT + 1] :]
        return RiskRequest(parse(rest), ScannedInputs(data, block, layout), inputs_field)

    return decode
