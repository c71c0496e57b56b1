"""`tradewind serve`: one of the services, in the place of this process."""

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["Service", "serve"]


class Service(StrEnum):
    """What can be served."""

    TRAINER = "trainer"
    INFERENCE = "inference"
    RISK = "risk"


def serve(
    context: typer.Context,
    service: Annotated[Service, typer.Argument(help="Which service.")],
) -> None:
    """Runs a service until SIGTERM; the flags are the service's own (`serve risk -- --help`)."""
    # This process becomes the service: signals and the exit code are its own, nothing stands
    # between it and whoever supervises it.
    command = [sys.executable, "-m", f"{service.value}_service", *context.args]
    os.execv(sys.executable, command)  # noqa: S606 - without a shell is what is wanted
