"""The command line that every service has: a settings file, and flags that override it."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tradewind import __version__
from tradewind.errors import TradewindError
from tradewind.logs import set_up_logging
from tradewind.rpc.server.limits import raise_file_limit
from tradewind.rpc.server.server import ServiceSettings
from tradewind.settings import load_settings, parse_settings

__all__ = ["Flag", "run_service"]

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag that overrides one key of the settings.

    Attributes:
        name: The flag, e.g. `--metrics-listen`.
        key: Dotted path of the settings key, e.g. `server.metrics_listen`.
        help: What it sets.
        metavar: How the value is shown in the help.
        repeated: The flag may stand several times; the setting is a list.
    """

    name: str
    key: str
    help: str
    metavar: str
    repeated: bool = False


SERVER_FLAGS = (
    Flag(
        "--listen",
        "server.listen",
        "where to serve gRPC; may be repeated",
        "HOST:PORT|unix:PATH",
        repeated=True,
    ),
    Flag("--metrics-listen", "server.metrics_listen", "where to serve Prometheus", "HOST:PORT"),
    Flag("--log-format", "server.logging.format", "how to log to standard error", "json|text"),
    Flag("--log-level", "server.logging.level", "what to log", "DEBUG|INFO|WARNING|ERROR"),
    Flag("--trace-to", "server.tracing.endpoint", "collector of traces (OTLP)", "http://HOST:PORT"),
)


def run_service(
    program: str,
    description: str,
    model: type[SettingsT],
    serve: Callable[[SettingsT], None],
    flags: Sequence[Flag] = (),
    arguments: Sequence[str] | None = None,
) -> int:
    """Parses the command line, loads the settings and serves until a signal.

    Args:
        program: Name of the service's package.
        description: First line of the help.
        model: The service's settings.
        serve: Serves until it is told to stop.
        flags: Flags besides `--config` and those of the server.
        arguments: The command line; that of the process by default.

    Returns:
        The exit code: 0 after a drain, 2 when the settings are refused, 1 for any other error
        that Tradewind raises on purpose.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--version", action="version", version=f"tradewind {__version__}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML settings file")
    for flag in (*SERVER_FLAGS, *flags):
        parser.add_argument(
            flag.name,
            dest=flag.key,
            metavar=flag.metavar,
            help=flag.help,
            action="append" if flag.repeated else "store",
        )
    options = vars(parser.parse_args(arguments))
    overrides: dict[str, str | list[str]] = {
        flag.key: options[flag.key]
        for flag in (*SERVER_FLAGS, *flags)
        if options[flag.key] is not None
    }
    try:
        if options["config"] is not None:
            settings = load_settings(options["config"], model, overrides)
        else:
            settings = parse_settings({}, model, source="command line", overrides=overrides)
    except TradewindError as problem:
        sys.stderr.write(f"{program}: {problem}\n")
        return 2
    set_up_logging(settings.server.logging, program)
    raise_file_limit()
    try:
        serve(settings)
    except TradewindError as problem:
        _LOG.critical("%s: %s", program, problem)
        return 1
    return 0
