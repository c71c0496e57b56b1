"""Real risk services, and the inputs they are asked about."""

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from risk_service.command import risk_server
from risk_service.settings import RiskServiceSettings
from tradewind.api.risk.v1 import risk_pb2, risk_pb2_grpc
from tradewind.errors import InvalidInputError
from tradewind.market import load_sample
from tradewind.risk import (
    OptionPosition,
    OrderBook,
    Position,
    RiskAgentV2,
    RiskInputs,
    RiskPolicy,
)
from tradewind.rpc import ServerSettings, ServiceProcess, error_from_rpc
from tradewind.rpc.risk.risk_codec import risk_inputs_to_message

DEFAULT_POLICY = Path(__file__).parents[3] / "config" / "risk_limits.yaml"
POLICY = """\
limits:
  max_drawdown: {limit: 0.2}
rules:
  - {name: drawdown_warning, when: {metric: max_drawdown, of_limit: 0.5}, action: WARN}
  - {name: drawdown_halt, when: {metric: max_drawdown}, action: HALT, severity: critical}
"""
END = "\n...\n"
"""What a policy file ends with."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/audit.sqlite"
    url: str = request.getfixturevalue("postgres").create_database()
    return url


@dataclass
class RiskCaller:
    """A way to call a risk service; `process` is None when it runs in this process.

    `stop` drains it; it is stopped at the end of the test in any case.
    """

    stub: risk_pb2_grpc.RiskServiceStub
    metrics_address: str
    process: Any = None
    stop: Callable[[], object] = lambda: None

    def calculate(self, message: risk_pb2.RiskInputs) -> risk_pb2.CalculateOnlyResponse:
        return self.stub.CalculateOnly(risk_pb2.CalculateOnlyRequest(inputs=message), timeout=20)

    def evaluate(self, message: risk_pb2.RiskInputs, **fields: Any) -> risk_pb2.EvaluateResponse:
        return self.stub.Evaluate(risk_pb2.EvaluateRequest(inputs=message, **fields), timeout=20)

    def resume(self, account: str) -> risk_pb2.ResumeResponse:
        return self.stub.Resume(
            risk_pb2.ResumeRequest(
                account=account, name="A. Person", reason="data error", role="risk_officer"
            ),
            timeout=20,
        )

    def policy(self) -> risk_pb2.GetRiskPolicyResponse:
        return self.stub.GetRiskPolicy(risk_pb2.GetRiskPolicyRequest(), timeout=20)

    def all_decisions(self, page_size: int = 200) -> list[risk_pb2.Decision]:
        """The whole audit trail, oldest first."""
        decisions: list[risk_pb2.Decision] = []
        token = ""
        while True:
            page = self.stub.ListDecisions(
                risk_pb2.ListDecisionsRequest(page_size=page_size, page_token=token), timeout=20
            )
            decisions.extend(page.decisions)
            token = page.next_page_token
            if not token:
                return decisions[::-1]

    def metrics(self) -> dict[str, float]:
        """What Prometheus would read: samples by name and labels."""
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}


@pytest.fixture(scope="session")
def field_violations() -> Callable[[grpc.RpcError], dict[str, str]]:
    """The fields that a refused call names, each with what is wrong with it."""

    def read(error: grpc.RpcError) -> dict[str, str]:
        found = error_from_rpc(error)
        assert isinstance(found, InvalidInputError)
        return {violation.field: violation.description for violation in found.violations}

    return read


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """Compiles the kernels into the cache first: a service waits for that only so long."""
    RiskAgentV2(RiskPolicy()).warm_up()


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY + END)
    return path


@pytest.fixture
def start_risk(
    tmp_path: Path, policy_file: Path, start_service: Callable[..., ServiceProcess]
) -> Iterator[Callable[..., RiskCaller]]:
    """Starts `python -m risk_service`; by default on an SQLite file below tmp_path."""
    with ExitStack() as stack:

        def start(*flags: str, database: str = "") -> RiskCaller:
            process = start_service(
                "risk_service",
                "--policy", str(policy_file),
                "--database", database or f"sqlite:///{tmp_path}/audit.sqlite",
                "--journal", str(tmp_path / "audit.journal"),
                *flags,
            )  # fmt: skip
            channel = stack.enter_context(grpc.insecure_channel(process.address))
            stub = risk_pb2_grpc.RiskServiceStub(channel)
            return RiskCaller(stub, process.metrics_address, process, process.stop)

        yield start


@contextmanager
def _serve(
    folder: Path, policy: Path, metrics_listen: str = "", **settings: Any
) -> Iterator[RiskCaller]:
    server = ServerSettings(listen="127.0.0.1:0", metrics_listen=metrics_listen, drain_s=0.0)
    values = {
        "server": server,
        "policy": policy,
        "policy_poll_s": 0.05,
        "database": f"sqlite:///{folder}/audit.sqlite",
        **settings,
    }
    with (
        risk_server(RiskServiceSettings(**values)) as running,
        grpc.insecure_channel(running.address) as channel,
    ):
        yield RiskCaller(risk_pb2_grpc.RiskServiceStub(channel), running.metrics_address)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., RiskCaller]]:
    """Serves a policy, given as YAML without its end, in this process over real gRPC."""
    with ExitStack() as stack:

        def start(policy: str = POLICY, **settings: Any) -> RiskCaller:
            path = tmp_path / "policy.yaml"
            path.write_text(policy + END)
            server = stack.enter_context(ExitStack())
            caller = server.enter_context(_serve(tmp_path, path, **settings))
            caller.stop = server.close
            return caller

        yield start


@pytest.fixture(scope="module")
def default_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RiskCaller]:
    """The shipped risk policy, served by a process of its own."""
    folder = tmp_path_factory.mktemp("risk")
    flags = [
        "--listen", "127.0.0.1:0",
        "--metrics-listen", "127.0.0.1:0",
        "--policy", str(DEFAULT_POLICY),
        "--database", f"sqlite:///{folder}/audit.sqlite",
    ]  # fmt: skip
    with (
        ServiceProcess("risk_service", flags, log=folder / "log") as process,
        grpc.insecure_channel(process.address) as channel,
    ):
        stub = risk_pb2_grpc.RiskServiceStub(channel)
        yield RiskCaller(stub, process.metrics_address, process)


@pytest.fixture(scope="session")
def real_account() -> Callable[..., RiskInputs]:
    """An account that needs every calculator, from real bars: the bars [start, start + count)."""
    bars = {symbol: load_sample(symbol) for symbol in ("BTC", "ETH")}
    first = bars["BTC"]

    def make(start: int, count: int) -> RiskInputs:
        span = slice(start, start + count)
        close, times = first.close[span], first.timestamps_ns[span] / 1e9
        prices = {symbol: float(series.close[start + count]) for symbol, series in bars.items()}
        trades = slice(-min(count, 40), None)
        return RiskInputs(
            portfolio_values=close * 10.0,
            timestamps=times,
            start_of_day_value=float(close[-min(count, 20)] * 10.0),
            trade_timestamps=times[trades],
            trade_notionals=np.diff(first.close[start : start + count + 1])[trades] * 100.0,
            capital_base=float(close[-1] * 10.0),
            positions=tuple(
                Position(symbol, quantity, prices[symbol])
                for symbol, quantity in zip(prices, (10.0, -25.0), strict=True)
            ),
            price_changes=np.diff(first.close[start : start + count + 1]),
            order_flows=first.volume[span] - np.median(first.volume[span]),
            order_books={symbol: _book(price) for symbol, price in prices.items()},
            feed_timestamps={"trades": times[-1] - 1.5, "books": times[-1] - 0.25},
            now=float(times[-1]),
            periods_per_year=first.periods_per_year,
            order_latencies_us=first.volume[start : start + 5_000],
            average_daily_volumes={"BTC": 20_000.0, "ETH": 150_000.0},
            options=(
                OptionPosition("BTC", "call", 2.0, 1.0, prices["BTC"], prices["BTC"], 0.2, 0.7),
                OptionPosition("ETH", "put", -5.0, 1.0, prices["ETH"], prices["ETH"], 0.1, 0.9),
            ),
        )

    return make


def _book(mid: float) -> OrderBook:
    steps = np.arange(1.0, 21.0) * (1e-4 * mid)
    sizes = np.arange(1.0, 21.0)
    return OrderBook(mid - steps, sizes, mid + steps, sizes)


def _account(*values: float) -> risk_pb2.RiskInputs:
    return risk_inputs_to_message(RiskInputs(portfolio_values=np.array(values)))


@pytest.fixture
def calm() -> risk_pb2.RiskInputs:
    """An account that breaks no rule."""
    return _account(100.0, 101.0, 100.5)


@pytest.fixture
def crashed() -> risk_pb2.RiskInputs:
    """An account over the limit that halts it."""
    return _account(100.0, 70.0)
