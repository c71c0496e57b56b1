"""Fixtures that every kind of test may use."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from tradewind.rpc import ServiceProcess

StartService = Callable[..., ServiceProcess]

# The first example of a test may have to compile the kernels it calls.
settings.register_profile("tradewind", deadline=None)
settings.load_profile("tradewind")


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[StartService]:
    """Starts a real service on a free loopback port; every one is stopped when the test ends.

    `start_service("risk_service", "--policy", path)` gives a ServiceProcess with its address.
    """
    with ExitStack() as stack:

        def start(module: str, *arguments: str) -> ServiceProcess:
            flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", *arguments]
            process = ServiceProcess(module, flags, log=tmp_path / f"{module}.log")
            return stack.enter_context(process)

        yield start
