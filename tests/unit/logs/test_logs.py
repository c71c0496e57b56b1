"""Lines of the log: their format, what a caller can make of them, and floods."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.logs import (
    CallLogSettings,
    LogSettings,
    current_request_id,
    log_context,
    loggable_id,
    read_record,
    set_up_logging,
)
from tradewind.logs.flood import RateLimit
from tradewind.logs.formats import JsonFormatter, TextFormatter

LOG = logging.getLogger("tradewind.tests")
FORGED = 'x\n{"level": "CRITICAL"}\r\x1b[31m\x85\u2028\u202e'


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    made = LOG.makeRecord(LOG.name, logging.WARNING, __file__, 1, message, args, None)
    made.__dict__.update(extra)
    return made


@pytest.fixture
def set_up() -> Iterator[Callable[..., io.StringIO]]:
    """Sets the process's log up; afterwards it is as before."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    levels = {name: logging.getLogger(name).level for name in ("tradewind", "risk_service")}

    def make(settings: LogSettings, **fields: Any) -> io.StringIO:
        stream = io.StringIO()
        set_up_logging(settings, "risk_service", stream=stream, **fields)
        return stream

    yield make
    logging.captureWarnings(False)
    root.handlers, root.level, sys.excepthook, threading.excepthook = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_line_has_every_field_and_the_traceback(set_up: Callable[..., io.StringIO]) -> None:
    stream = set_up(LogSettings(format="json"), worker=0)

    with log_context(account="a", policy=""), log_context(request_id="r-1", job="j"):
        try:
            raise ZeroDivisionError("inside")
        except ZeroDivisionError:
            LOG.exception("went %s", "wrong", extra={"fields": {"code": "INTERNAL"}})
    LOG.debug("too much")

    (line,) = lines(stream)
    assert list(line)[:5] == ["time", "level", "service", "logger", "message"]
    assert line["time"].endswith("+00:00")
    assert "ZeroDivisionError: inside" in line.pop("error")
    line.pop("time")
    assert line == {
        "level": "ERROR",
        "service": "risk_service",
        "logger": "tradewind.tests",
        "message": "went wrong",
        "worker": 0,
        "account": "a",
        "request_id": "r-1",
        "job": "j",
        "code": "INTERNAL",
    }


def test_warnings_and_what_nobody_catches_are_lines(set_up: Callable[..., io.StringIO]) -> None:
    stream = set_up(LogSettings(format="json"))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)

    def defect() -> None:
        raise KeyError("gone")

    thread = threading.Thread(target=defect, name="store")
    thread.start()
    thread.join()

    warned, died = lines(stream)
    assert (warned["logger"], "UserWarning: old" in warned["message"]) == ("py.warnings", True)
    assert died["message"] == "thread store was ended by KeyError: 'gone'"
    assert "in defect" in died["error"]


@pytest.mark.parametrize("formatter", [JsonFormatter("s", {}), TextFormatter({})])
def test_line_with_a_forged_line_in_it_stays_one_line_of_printable_text(
    formatter: logging.Formatter,
) -> None:
    with log_context(policy=FORGED, request_id=FORGED):
        line = formatter.format(record("no policy %s", FORGED, fields={"account": FORGED}))

    assert line.isprintable()
    assert "request_id" not in line


@given(st.text(), st.text())
def test_text_of_any_kind_is_read_back_from_its_json_line(message: str, policy: str) -> None:
    line = JsonFormatter("s", {}).format(record("%s", message, fields={"policy": policy}))

    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == message
    assert json.loads(line).get("policy", "") == policy


def test_traceback_in_text_cannot_begin_a_line_of_its_own() -> None:
    try:
        raise ValueError("bad\n2026-01-01 CRITICAL risk_service: forged")
    except ValueError:
        line = TextFormatter({}).format(record("failed", exc_info=sys.exc_info()))

    _, *below = line.splitlines()
    assert any("forged" in each for each in below)
    assert all(each.startswith("    ") for each in below)


def test_huge_or_unfitting_record_is_cut_and_still_json() -> None:
    formatter = JsonFormatter("s", {})

    huge = formatter.format(record("x" * 100_000, fields={"a": "y" * 1_000, "b": float("nan")}))
    unfitting = formatter.format(record("%d", "no number"))

    assert len(huge) < 10_000
    assert json.loads(huge)["b"] == "nan"
    assert "no number" in json.loads(unfitting)["message"]


@pytest.mark.parametrize(
    ("request_id", "logged"),
    [
        ("monday-1", True),
        ("!~" * 64, True),
        ("", False),
        (None, False),
        ("x" * 129, False),
        ("a b", False),
        ("a\n", False),
        ("größe", False),
        ("a\x7f", False),
    ],
)
def test_request_id_is_logged_only_if_it_is_short_and_printable(
    request_id: str | None, logged: bool
) -> None:
    with log_context(request_id=request_id):
        assert current_request_id() == loggable_id(request_id) == (request_id if logged else "")


def test_rate_limit_lets_a_burst_through_then_one_a_second_and_counts_the_rest() -> None:
    now = [0.0]
    limit = RateLimit(1.0, 3, clock=lambda: now[0])

    assert [limit.take("a") for _ in range(5)] == [0, 0, 0, None, None]
    assert limit.take("b") == 0
    now[0] = 1.5
    assert [limit.take("a") for _ in range(2)] == [2, None]
    now[0] = 100.0
    assert [limit.take("a") for _ in range(4)] == [1, 0, 0, None]


def test_rate_limit_with_endless_keys_keeps_few_and_still_limits() -> None:
    limit = RateLimit(1e-9, 1, clock=lambda: 0.0)

    taken = [limit.take(number) for number in range(5_000)]

    assert sum(each is not None for each in taken) <= 1_025


def test_flood_of_calls_and_of_what_grpc_says_is_cut_short(
    set_up: Callable[..., io.StringIO],
) -> None:
    settings = CallLogSettings(format="json", call_lines_per_s=1e-9, call_lines_burst=2)
    stream = set_up(settings)
    grpc_log = logging.getLogger("grpc._common")

    for _ in range(100):
        LOG.info("refused", extra={"flood_key": ("Predict", "NOT_FOUND")})
        grpc_log.error("Exception deserializing message!")
        LOG.info("not of a call")

    written = [line["message"] for line in lines(stream)]
    assert written.count("refused") == 2
    assert written.count("Exception deserializing message!") == 2
    assert written.count("not of a call") == 100


def test_read_record_gives_back_what_a_child_logged() -> None:
    try:
        raise ValueError("inside")
    except ValueError:
        made = record("failed", exc_info=sys.exc_info(), fields={"job": "j"})
    line = JsonFormatter("trainer_service", {}).format(made)

    back = read_record(line)

    assert back is not None
    assert JsonFormatter("trainer_service", {}).format(back) == line


@pytest.mark.parametrize(
    "line", ["", "plain", "{", "[]", "{}", '{"level": 1, "time": 2}', '{"time": "now"}']
)
def test_read_record_of_any_other_line_is_none(line: str) -> None:
    assert read_record(line) is None
