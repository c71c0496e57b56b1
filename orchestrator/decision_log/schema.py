"""The Arrow schema of the decision log: one row for each tick, nested as its record is."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute

from orchestrator.records import (
    BarRecord,
    FillRecord,
    OrderRecord,
    PolicyDecision,
    PositionRecord,
    RefusedBarRecord,
    RiskAnswer,
    TickRecord,
    Timings,
)

__all__ = ["LOG_FORMAT_VERSION", "TICK_SCHEMA", "to_batch", "with_later_fields"]

LOG_FORMAT_VERSION: Final = 1

_TIME = pa.timestamp("ns", tz="UTC")
_TEXTS = pa.list_(pa.string())
_DOUBLES = pa.list_(pa.float64())

_BAR = pa.struct(
    [
        ("symbol", pa.string()),
        ("start_ns", _TIME),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.float64()),
        ("arrived_ns", _TIME),
        ("flags", _TEXTS),
    ]
)
_REFUSED_BAR = pa.struct(
    [
        ("symbol", pa.string()),
        ("start_ns", pa.int64()),  # whatever was sent, also what is no time
        ("fault", pa.string()),
        ("detail", pa.string()),
    ]
)
_DECISION = pa.struct(
    [
        ("symbols", _TEXTS),
        ("policy", pa.string()),
        ("version", pa.string()),
        ("bundle_sha256", pa.string()),
        ("variant", pa.string()),
        ("request_id", pa.string()),
        ("exposures", _DOUBLES),
        ("unrealized_returns", _DOUBLES),
        ("bars_held", pa.list_(pa.int64())),
        ("observation", pa.binary()),
        ("action", pa.int64()),
        ("action_values", pa.list_(pa.float32())),
        ("targets", _DOUBLES),
        ("model_compute_ns", pa.int64()),
        ("reason", pa.string()),
    ]
)
_RISK = pa.struct(
    [
        ("request_id", pa.string()),
        ("decision_id", pa.string()),
        ("action", pa.string()),
        ("policy_digest", pa.string()),
        ("halted", pa.bool_()),
        ("breaches", _TEXTS),
        ("risk_score", pa.float64()),
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("unavailable", pa.map_(pa.string(), pa.string())),
        ("overlay_digest", pa.string()),
    ]
)
_ORDER = pa.struct(
    [
        ("client_order_id", pa.string()),
        ("symbol", pa.string()),
        ("quantity", pa.float64()),
        ("reference_price", pa.float64()),
        ("reason", pa.string()),
        ("sent", pa.bool_()),
        ("kind", pa.string()),
        ("limit_price", pa.float64()),
        ("stop_price", pa.float64()),
        ("time_in_force", pa.string()),
    ]
)
_FILL = pa.struct(
    [
        ("sequence", pa.int64()),
        ("client_order_id", pa.string()),
        ("symbol", pa.string()),
        ("quantity", pa.float64()),
        ("price", pa.float64()),
        ("reference_price", pa.float64()),
        ("fee", pa.float64()),
        ("filled_ns", _TIME),
    ]
)
_POSITION = pa.struct(
    [
        ("symbol", pa.string()),
        ("quantity", pa.float64()),
        ("entry_price", pa.float64()),
        ("mark_price", pa.float64()),
    ]
)
_TIMINGS = pa.struct(
    [
        ("features_ns", pa.int64()),
        ("predict_ns", pa.int64()),
        ("evaluate_ns", pa.int64()),
        ("journal_ns", pa.int64()),
        ("submit_ns", pa.int64()),
        ("bar_to_order_ns", pa.int64()),
    ]
)

TICK_SCHEMA: Final = pa.schema(
    [
        ("sequence", pa.int64()),
        ("run_id", pa.string()),
        ("account", pa.string()),
        ("close_ns", _TIME),
        ("decided_ns", _TIME),
        ("outcome", pa.string()),
        ("reasons", _TEXTS),
        ("bars", pa.list_(_BAR)),
        ("refused_bars", pa.list_(_REFUSED_BAR)),
        ("fills", pa.list_(_FILL)),
        ("positions", pa.list_(_POSITION)),
        ("cash", pa.float64()),
        ("equity", pa.float64()),
        ("fees_paid", pa.float64()),
        ("start_of_day_equity", pa.float64()),
        ("inputs_digest", pa.string()),
        ("decisions", pa.list_(_DECISION)),
        ("risk", _RISK),
        ("orders", pa.list_(_ORDER)),
        ("timings", _TIMINGS),
    ]
)


_LATER_ORDER_FIELDS: Final = {
    item.name: item.default for item in fields(OrderRecord) if item.default is not MISSING
}


def _reader(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """Takes a record apart, its fields in the order of the schema: pyarrow takes such a tuple."""
    return attrgetter(*(item.name for item in fields(kind)))


_NAMES: Final = tuple(TICK_SCHEMA.names)
_READ_TICK = _reader(TickRecord)
_LISTS: Final = tuple(
    (_NAMES.index(name), _reader(kind))
    for name, kind in (
        ("bars", BarRecord),
        ("refused_bars", RefusedBarRecord),
        ("fills", FillRecord),
        ("positions", PositionRecord),
        ("decisions", PolicyDecision),
        ("orders", OrderRecord),
    )
)
_RISK_AT, _READ_RISK = _NAMES.index("risk"), _reader(RiskAnswer)
_TIMINGS_AT, _READ_TIMINGS = _NAMES.index("timings"), _reader(Timings)


def with_later_fields(table: pa.Table) -> pa.Table:
    """A table of ticks of an earlier release, with what they have got since.

    Orders are of the kind that there was, anything else is null.

    Raises:
        KeyError, pa.ArrowException: It is of a later release.
    """
    at = table.schema.get_field_index("orders")
    if at >= 0 and table.schema.field(at).type != TICK_SCHEMA.field("orders").type:
        chunks = [_with_order_kinds(chunk) for chunk in table.column(at).chunks]
        orders = pa.chunked_array(chunks, type=TICK_SCHEMA.field("orders").type)
        table = table.set_column(at, "orders", orders)
    return table.cast(pa.schema([TICK_SCHEMA.field(name) for name in table.column_names]))


def _with_order_kinds(orders: pa.ListArray) -> pa.ListArray:
    values = orders.flatten()
    known = dict(zip((item.name for item in values.type), values.flatten(), strict=True))
    columns = [
        known[item.name]
        if item.name in known
        else pa.array([_LATER_ORDER_FIELDS[item.name]] * len(values), item.type)
        for item in _ORDER
    ]
    offsets = pa.compute.subtract(orders.offsets, orders.offsets[0])
    return pa.ListArray.from_arrays(
        offsets, pa.StructArray.from_arrays(columns, fields=list(_ORDER))
    )


def to_batch(records: Sequence[TickRecord]) -> pa.RecordBatch:
    """Records as rows of the log."""
    rows = pa.array([_row(record) for record in records], type=pa.struct(list(TICK_SCHEMA)))
    return pa.RecordBatch.from_struct_array(rows)


def _row(record: TickRecord) -> tuple[Any, ...]:
    row = list(_READ_TICK(record))
    for at, read in _LISTS:
        row[at] = [read(part) for part in row[at]]
    if record.risk is not None:
        *rest, metrics, unavailable, overlay = _READ_RISK(record.risk)
        row[_RISK_AT] = (*rest, list(metrics.items()), list(unavailable.items()), overlay)
    row[_TIMINGS_AT] = _READ_TIMINGS(record.timings)
    return tuple(row)
