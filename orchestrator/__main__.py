"""Runs command.py, or names the extra without which that cannot be imported."""

import sys

from tradewind.extras import run_command

if __name__ == "__main__":
    sys.exit(run_command("orchestrator"))
