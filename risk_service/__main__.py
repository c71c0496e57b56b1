"""Runs command.py, or names the extra without which that cannot be imported."""

import sys

from tradewind.extras import naming_extras

__all__ = ["main"]


def main() -> int:
    """Runs the command line; gives the exit code."""
    with naming_extras("risk_service"):
        from risk_service.command import main as run

        return run()


if __name__ == "__main__":
    sys.exit(main())
