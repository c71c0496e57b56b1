"""Runs command.py, or names the extra without which that cannot be imported."""

import sys
from collections.abc import Sequence

from tradewind.extras import run_command

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    return run_command("tradewind_cli", arguments, program="tradewind")


if __name__ == "__main__":
    sys.exit(main())
