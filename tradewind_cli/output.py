"""What a command prints: tables for people, one JSON document for programs, and its exit code."""

import contextlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tradewind.errors import (
    FieldViolation,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    SettingsError,
    TradewindError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = [
    "ExitCode",
    "JsonOption",
    "exit_code_of",
    "print_answer",
    "print_error",
    "print_error_lines",
    "print_fields",
    "print_json",
    "print_table",
    "refusal",
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, errors too.")]


class ExitCode(IntEnum):
    """What the shell gets."""

    OK = 0
    FAILED = 1
    """The command ran and the answer is no: a training failed, a bundle is bad, an SLO missed."""
    REFUSED = 2
    """The command line or a configuration is wrong."""
    NOT_FOUND = 3
    UNAVAILABLE = 4
    """The service does not answer, or not now."""
    DENIED = 5
    """The service does not know the caller, or its role does not go so far."""


def exit_code_of(problem: TradewindError) -> ExitCode:
    """The exit code that an error stands for."""
    if isinstance(problem, InvalidInputError):
        return ExitCode.REFUSED
    if isinstance(problem, NotFoundError):
        return ExitCode.NOT_FOUND
    if isinstance(problem, UnavailableError | OverloadedError):
        return ExitCode.UNAVAILABLE
    if isinstance(problem, UnauthenticatedError | PermissionDeniedError):
        return ExitCode.DENIED
    return ExitCode.FAILED


def refusal(option: str, description: str) -> SettingsError:
    """The error of an option, or of an argument, that cannot be as it is."""
    return SettingsError("the command line is refused", [FieldViolation(option, description)])


def print_answer(answer: Mapping[str, str], *, as_json: bool) -> None:
    """Prints names and values in the way that was asked for."""
    print_json(answer) if as_json else print_fields(answer)


def print_json(document: Any) -> None:
    """Prints a document; numbers that JSON does not have (NaN, infinity) are a defect."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows under headings; columns of numbers start with `>`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.startswith(">")
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(column.removeprefix(">"), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    _console().print(table)


def print_fields(fields: Mapping[str, str]) -> None:
    """Prints names and values, one a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name, Text(value))
    _console().print(table)


def print_error(problem: TradewindError, *, as_json: bool) -> None:
    """Prints an error: for people to standard error, each wrong field on a line of its own."""
    violations = problem.violations if isinstance(problem, InvalidInputError) else ()
    if as_json:
        print_json(
            {
                "error": {
                    "reason": problem.reason,
                    "message": str(problem),
                    "violations": [
                        {"field": item.field, "description": item.description}
                        for item in violations
                    ],
                    "metadata": problem.metadata,
                    "notes": list(getattr(problem, "__notes__", ())),
                }
            }
        )
        return
    message = str(problem)
    if violations:
        details = "; ".join(str(item) for item in violations)
        message = message.removesuffix(f": {details}")
    print_error_lines(message, [*map(str, violations), *getattr(problem, "__notes__", ())])


def print_error_lines(first: str, more: Iterable[str]) -> None:
    """Prints lines for people to standard error; that nobody reads them is no error."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write("\n  ".join((f"tradewind: {first}", *more)) + "\n")
        sys.stderr.flush()


def _console() -> Console:
    # Without a terminal a table is for a file or a pipe: lines are not folded at 80 columns.
    # A narrow terminal folds them itself, rather than that figures are cut.
    console = Console()
    return Console(width=max(console.width, 80) if sys.stdout.isatty() else 200)
