"""The command line of a program: a settings file, and flags that override its keys."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tradewind import __version__
from tradewind.errors import TradewindError
from tradewind.settings import Settings, load_settings, parse_settings

__all__ = ["Flag", "process_flags", "run_program"]

SettingsT = TypeVar("SettingsT", bound=Settings)


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


def process_flags(under: str = "") -> tuple[Flag, ...]:
    """The flags of what every program writes of itself.

    Args:
        under: What the keys of the settings stand under, e.g. `server.`.
    """
    levels, address = "DEBUG|INFO|WARNING|ERROR", "http://HOST:PORT"
    return (
        Flag("--log-format", f"{under}logging.format", "how to log to standard error", "json|text"),
        Flag("--log-level", f"{under}logging.level", "what to log", levels),
        Flag("--trace-to", f"{under}tracing.endpoint", "collector of traces (OTLP)", address),
    )


def run_program(
    program: str,
    description: str,
    model: type[SettingsT],
    run: Callable[[SettingsT], None],
    flags: Sequence[Flag],
    arguments: Sequence[str] | None = None,
    *,
    needs_file: bool = False,
) -> int:
    """Parses the command line, loads the settings and runs.

    Args:
        program: Name of the program's package.
        description: First line of the help.
        model: The program's settings.
        run: Sets up its log, and runs until it is told to stop.
        flags: Flags besides `--config`.
        arguments: The command line; that of the process by default.
        needs_file: Whether flags alone are too little.

    Returns:
        The exit code: 0 after an end in order, 2 when the settings are refused, 1 for any other
        error that Tradewind raises on purpose.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--version", action="version", version=f"tradewind {__version__}")
    parser.add_argument(
        "--config", type=Path, required=needs_file, metavar="FILE", help="YAML settings file"
    )
    for flag in flags:
        parser.add_argument(
            flag.name,
            dest=flag.key,
            metavar=flag.metavar,
            help=flag.help,
            action="append" if flag.repeated else "store",
        )
    options = vars(parser.parse_args(arguments))
    overrides = {flag.key: options[flag.key] for flag in flags if options[flag.key] is not None}
    try:
        if options["config"] is not None:
            settings = load_settings(options["config"], model, overrides)
        else:
            settings = parse_settings({}, model, source="command line", overrides=overrides)
    except TradewindError as problem:
        sys.stderr.write(f"{program}: {problem}\n")
        return 2
    try:
        run(settings)
    except TradewindError as problem:
        logging.getLogger(program).critical("%s", problem)
        return 1
    return 0
