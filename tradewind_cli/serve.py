"""`tradewind serve`: a service or the orchestrator, in the place of this process."""

import os
import sys
from collections.abc import Callable
from typing import Final

import typer

__all__ = ["app"]

# What each is said to be here, and its package.
_PROGRAMS: Final = {
    "trainer": ("Trains policies and publishes them.", "trainer_service"),
    "inference": ("Answers what trained policies would do.", "inference_service"),
    "risk": ("Metrics, rules, halts and their audit.", "risk_service"),
    "orchestrator": ("Trades an account: asks inference and risk at every bar.", "orchestrator"),
}

app = typer.Typer(
    no_args_is_help=True,
    help="Runs a service or the orchestrator, whose own flags `serve risk --help` shows.",
)


def _become(package: str) -> Callable[[typer.Context], None]:
    def become(context: typer.Context) -> None:
        # This process becomes the program: signals and the exit code are its own, nothing stands
        # between it and whoever supervises it. So are its flags, which are declared there alone.
        command = [sys.executable, "-m", package, *context.args]
        os.execv(sys.executable, command)  # noqa: S606 - without a shell is what is wanted

    return become


for _name, (_described, _package) in _PROGRAMS.items():
    app.command(
        _name,
        help=_described,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_become(_package))
