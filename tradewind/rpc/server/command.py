"""The command line that every service has: a settings file, and flags that override it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tradewind.logs import set_up_logging
from tradewind.process.command import Flag, process_flags, run_program
from tradewind.rpc.server.limits import raise_file_limit
from tradewind.rpc.server.settings import ServiceSettings

__all__ = ["run_service"]

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)

_FLAGS = (
    Flag(
        "--listen",
        "server.listen",
        "where to serve gRPC; may be repeated",
        "HOST:PORT|unix:PATH",
        repeated=True,
    ),
    Flag("--metrics-listen", "server.metrics_listen", "where to serve Prometheus", "HOST:PORT"),
    *process_flags("server."),
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
        The exit code; see `run_program`.
    """

    def run(settings: SettingsT) -> None:
        set_up_logging(settings.server.logging, program)
        raise_file_limit()
        serve(settings)

    return run_program(program, description, model, run, (*_FLAGS, *flags), arguments)
