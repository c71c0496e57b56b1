"""Clients of both kinds, driven alike, and real services for them to call."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients.aio import AsyncClient
from tradewind.rpc.clients.client import Client
from tradewind.rpc.clients.streams import AsyncStream

ROOT = Path(__file__).parents[3]
STORE = ROOT / "tests" / "contract" / "bundle" / "store_v1"
RISK_POLICY = """\
limits:
  max_drawdown: {limit: 0.2}
pre_trade: {order_notional: 5000}
rules:
  - {name: drawdown_warning, when: {metric: max_drawdown, of_limit: 0.5}, action: WARN}
  - {name: drawdown_halt, when: {metric: max_drawdown}, action: HALT, severity: critical}
  - {name: order_size, when: {metric: pre_trade.order_notional}, action: BLOCK}
...
"""

Connect = Callable[..., Any]


class Driven:
    """An asyncio client or stream whose methods block, so that one test serves both kinds."""

    def __init__(self, runner: asyncio.Runner, target: Any) -> None:
        self._runner = runner
        self._target = target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._target, name)

        def drive(*args: Any, **kwargs: Any) -> Any:
            return self._runner.run(self._finish(method, args, kwargs))

        return drive

    async def _finish(self, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if isinstance(result, AsyncStream):
            return Driven(self._runner, result)
        if isinstance(result, AsyncIterator):
            return iter([item async for item in result])
        return await result if inspect.isawaitable(result) else result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._target.close())


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes the blocking or the asyncio client of two; closed when the test ends."""
    clients: list[Any] = []

    async def make(kind: type[AsyncClient], *args: Any, **kwargs: Any) -> AsyncClient:
        return kind(*args, **kwargs)

    with asyncio.Runner() as runner:

        def connect(
            blocking: type[Client], on_asyncio: type[AsyncClient], *args: Any, **kwargs: Any
        ) -> Any:
            if request.param == "blocking":
                clients.append(blocking(*args, **kwargs))
            else:
                client = runner.run(make(on_asyncio, *args, **kwargs))
                clients.append(Driven(runner, client))
            return clients[-1]

        yield connect
        for client in clients:
            client.close()


@pytest.fixture(scope="session")
def inference_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real inference service with one discrete and one continuous policy."""
    flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "", "--store", str(STORE)]
    log = tmp_path_factory.mktemp("inference") / "log"
    with ServiceProcess("inference_service", flags, log=log) as process:
        yield process.address


@pytest.fixture(scope="session")
def risk_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real risk service under RISK_POLICY."""
    folder = tmp_path_factory.mktemp("risk")
    policy = folder / "policy.yaml"
    policy.write_text(RISK_POLICY)
    flags = [
        *("--listen", "127.0.0.1:0", "--metrics-listen", ""),
        *("--policy", str(policy), "--database", f"sqlite:///{folder}/audit.sqlite"),
    ]
    with ServiceProcess("risk_service", flags, log=folder / "log") as process:
        yield process.address
