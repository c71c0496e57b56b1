"""docs/reference/statuses.md lists every reason that a call can be refused with, and its status."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tradewind import errors
from tradewind.errors import MessageTooLargeError, TradewindError
from tradewind.rpc.server.limits import NetworkLimits
from tradewind.rpc.server.settings import ServerSettings
from tradewind.rpc.status import code_of

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reference" / "statuses.md").read_text()
PACKAGES = ("tradewind", "trainer_service", "inference_service", "risk_service")
# Of bundles, shown in quarantine and by `bundle verify`; never the reason of a call.
OFFLINE = {"RPC_FAILED", "TRADEWIND_ERROR", "NETWORK_NOT_LOWERED"}


def rows() -> dict[str, str]:
    listed: dict[str, str] = {}
    for status, reasons in re.findall(r"^\| ([A-Z_]+) \| ([^|]+) \|", PAGE, re.M):
        listed |= dict.fromkeys(re.findall(r"`([A-Z_]+)`", reasons), status)
    return listed


def raised_reasons() -> Iterator[str]:
    """What is given as `reason=` to an exception, and the reason of a kind of places."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = ast.unparse(node.func)
                given = [item.value for item in node.keywords if item.arg == "reason"]
                if name.endswith("Places"):
                    given += node.args
                if name.endswith(("Error", "Places", "_overloaded")):
                    for value in given:
                        text = value.value if isinstance(value, ast.Constant) else None
                        if isinstance(text, str) and re.fullmatch(r"[A-Z][A-Z_]+", text):
                            yield text


def test_statuses_page_lists_every_reason_that_is_raised() -> None:
    found = set(raised_reasons())
    assert {"STARTING", "STOPPING", "TOO_MANY_CALLS", "TOO_MANY_JOBS"} <= found
    assert found - set(rows()) == set()


def classes() -> list[type[TradewindError]]:
    return [getattr(errors, name) for name in errors.__all__ if name != "FieldViolation"]


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_statuses_page_lists_every_exception_under_its_status(error: type[TradewindError]) -> None:
    if error.reason in OFFLINE:
        assert error.reason not in rows()
        return
    limits = (1,) if error is MessageTooLargeError else ()
    assert rows()[error.reason] == code_of(error("why", *limits))


def test_statuses_page_with_its_limits_says_the_defaults() -> None:
    limits, server = NetworkLimits(), ServerSettings(listen=("127.0.0.1:0",))
    mebibytes = server.max_message_bytes // 1024**2
    assert f"`max_message_bytes` ({mebibytes} MiB)" in PAGE
    assert f"`max_concurrent_calls` ({server.max_concurrent_calls})" in PAGE
    assert f"share ({limits.caller_share})" in PAGE
    assert f"half of {server.threads} threads" in PAGE
    assert f"`limits.health_watches` ({limits.health_watches})" in PAGE
    assert f"`limits.waiting_calls` ({limits.waiting_calls})" in PAGE
    assert f"`limits.message_timeout_s` ({limits.message_timeout_s:g} s)" in PAGE
