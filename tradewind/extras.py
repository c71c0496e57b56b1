"""Which extra of the package to install where an import fails because one is missing."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Final

__all__ = ["missing_extra", "naming_extras", "run_command"]

# What stands in for a whole package: whoever starts or imports it wants all that it needs.
_EXTRAS: Final = {
    "trainer_service": "trainer",
    "inference_service": "inference",
    "risk_service": "risk",
    "orchestrator": "orchestrator",
    "tradewind_cli": "cli",
}
# What comes by an extra of its own, whichever of them imports it.
_EXTRAS_OF_OTHERS: Final = {"mlflow": "mlflow"}
_OWN: Final = frozenset({"tradewind", *_EXTRAS})


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """What to install, in one line, as `pip install` takes it.

    Args:
        error: As it was raised, with its traceback.

    Returns:
        None where it is no package of others' that is missing, or none of ours needs it by an
        extra: then the error is a defect, or the business of who raised it.
    """
    missing = (error.name or "").partition(".")[0]
    if not missing or missing in _OWN:
        return None
    found = None
    trace = error.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__package__") or "").partition(".")[0]
        found = _EXTRAS.get(package, found)
        trace = trace.tb_next
    if found is None:
        return None
    found = _EXTRAS_OF_OTHERS.get(missing, found)
    return f"{error.name} is not installed: pip install 'tradewind[{found}]'"


@contextlib.contextmanager
def naming_extras(program: str) -> Iterator[None]:
    """Ends the process with exit code 2 and one line where an extra is missing inside the block.

    Args:
        program: What the line begins with.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        line = missing_extra(error)
        if line is None:
            raise
        sys.stderr.write(f"{program}: {line}\n")
        raise SystemExit(2) from None


def run_command(package: str, arguments: Sequence[str] | None = None, program: str = "") -> int:
    """Runs `main` of a package's command.py, or says which extra that wants.

    Args:
        package: The package.
        arguments: The command line; that of the process by default.
        program: What it calls itself; by default as its package.

    Returns:
        The exit code.
    """
    with naming_extras(program or package):
        code: int = import_module(f"{package}.command").main(arguments)
        return code
