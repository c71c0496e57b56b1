"""Runs command.py, or names the extra without which that cannot be imported."""

import sys
from collections.abc import Sequence

from tradewind.extras import naming_extras

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    with naming_extras("orchestrator"):
        from orchestrator.command import main as run

        return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
