"""Settings of the orchestrator: config/orchestrator.yaml."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from orchestrator.brokers import BROKERS, OrderSettings, PaperBrokerSettings
from orchestrator.decision_log import DecisionLogSettings
from orchestrator.feeds import (
    FEEDS,
    BarGuardSettings,
    FileFeedSettings,
    SampleFeedSettings,
    WebSocketFeedSettings,
)
from tradewind.address import MetricsListen, host_and_port, is_loopback
from tradewind.alerts.settings import AlertSettings
from tradewind.logs import LogSettings
from tradewind.market.instruments import NamedInstrument
from tradewind.part_options import PartSettings
from tradewind.rpc.tls import ClientTls
from tradewind.settings import ALTERNATIVE, Settings
from tradewind.tracing import TracingSettings

__all__ = [
    "AllocationSettings",
    "LiveSettings",
    "OrchestratorSettings",
    "OwnBrokerSettings",
    "OwnFeedSettings",
    "RoutingKey",
    "SafetySettings",
    "ServiceAddresses",
]

SafeThing = Literal["hold", "flatten"]
RoutingKey = Literal["account", "symbol", "policy"]


class ServiceAddresses(Settings):
    """Where the services listen: `HOST:PORT`, `unix:PATH`, or several with commas between."""

    inference: str = "127.0.0.1:50052"
    """The inference service."""

    risk: str = "127.0.0.1:50053"
    """The risk service."""

    tls: ClientTls | None = None
    """Certificates for both; without, they are called in plain text."""

    token_file: Path | None = None
    """File of the bearer token that both are shown; in plain text on this machine only."""


def _symbol_or_symbols(schema: dict[str, Any]) -> None:
    """Tells a JSON Schema what `_take_one_symbol` takes."""
    schema["properties"]["symbol"] = {"type": "string", "description": "The one of `symbols`."}
    schema["required"].remove("symbols")
    schema["oneOf"] = [{"required": ["symbol"]}, {"required": ["symbols"]}]


class AllocationSettings(Settings):
    """What a policy trades, and the cash that it begins with.

    `symbol: BTC` says the same as `symbols: [BTC]`.
    """

    model_config = ConfigDict(json_schema_extra=_symbol_or_symbols)

    symbols: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    """Several are traded from one account by a policy that was trained on them, in its order."""

    policy: str = Field(min_length=1)
    """Name of the policy that trades them, as the inference service has it."""

    cash: float = Field(default=20_000.0, gt=0.0)
    """Cash that they begin with, in the account's currency; all of the account's cash is the sum
    over its allocations."""

    market: str | None = Field(default=None, min_length=1)
    """Its market, where it is another than that of the account."""

    @model_validator(mode="before")
    @classmethod
    def _take_one_symbol(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "symbol" not in values:
            return values
        if "symbols" in values:
            raise ValueError("either symbol or symbols, not both")
        others = {name: value for name, value in values.items() if name != "symbol"}
        return {**others, "symbols": [values["symbol"]]}


class OwnFeedSettings(PartSettings):
    """A feed of anyone's own: an `orchestrator.Feed` of an installed package or of a path."""

    door = FEEDS


class OwnBrokerSettings(PartSettings):
    """A broker of anyone's own: an `orchestrator.Broker` of an installed package or of a path."""

    door = BROKERS


def _kind_of_feed(values: Any) -> str:
    kind = values.get("kind") if isinstance(values, dict) else getattr(values, "kind", None)
    return f"{ALTERNATIVE}{kind if kind in ('sample', 'files', 'websocket') else 'own'}"


def _kind_of_broker(values: Any) -> str:
    is_paper = isinstance(values, dict) and values.get("kind", "paper") == "paper"
    is_paper = is_paper or isinstance(values, PaperBrokerSettings)
    return f"{ALTERNATIVE}{'paper' if is_paper else 'own'}"


FeedSettings = Annotated[
    Annotated[SampleFeedSettings, Tag("\0sample")]
    | Annotated[FileFeedSettings, Tag("\0files")]
    | Annotated[WebSocketFeedSettings, Tag("\0websocket")]
    | Annotated[OwnFeedSettings, Tag("\0own")],
    Discriminator(_kind_of_feed),
]
BrokerSettings = Annotated[
    Annotated[PaperBrokerSettings, Tag("\0paper")] | Annotated[OwnBrokerSettings, Tag("\0own")],
    Discriminator(_kind_of_broker),
]


class SafetySettings(Settings):
    """What is done when a tick cannot be decided as it should."""

    budget_ms: float = Field(default=250.0, gt=0.0)
    """From a tick's last bar to its orders; answers that come later are not used."""

    gather_ms: float = Field(default=500.0, gt=0.0)
    """How long the first bar of a tick waits for those of the other symbols."""

    on_trouble: SafeThing = "hold"
    """After a missed deadline, an unavailable service or an answer that cannot be verified."""

    on_halt: SafeThing = "flatten"
    """While the risk service says HALT: `flatten` closes every position, so that a halted account
    does not go on losing; `hold` keeps them. LIQUIDATE always flattens."""

    broker_timeout_s: float = Field(default=10.0, gt=0.0)
    """How long a tick waits for the broker before and after its decision; what became of orders
    that it did not answer in time is asked at the next tick."""

    throttle_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of an order's quantity that is sent while the risk service says THROTTLE."""

    required_metrics: tuple[str, ...] = ()
    """Risk metrics without which nothing is traded, whatever the rules say."""


def _check_listen(address: str) -> str:
    host_and_port(address)
    return address


class LiveSettings(Settings):
    """Where the live view listens, and what it lets a browser do."""

    listen: Annotated[str, AfterValidator(_check_listen)] = "127.0.0.1:8050"
    """`HOST:PORT`; port 0 picks a free one."""

    allow_remote: bool = False
    """Lets other machines look, in plain text and without a password."""

    hosts: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Names by which browsers may call it, beside localhost and IP addresses."""

    allow_resume: bool = False
    """Lets the page resume a halted account, with the credentials of the orchestrator."""

    interval_s: float = Field(default=0.25, ge=0.05, le=10.0)
    """Between two updates of a browser."""

    points: int = Field(default=1_000, ge=10, le=10_000)
    """Most points of a chart; when there are more ticks, a point stands for several."""

    max_browsers: int = Field(default=32, ge=1)
    """How many may look at a time; one more is refused."""

    @model_validator(mode="after")
    def _refuse_remote_by_oversight(self) -> Self:
        if not self.allow_remote and not is_loopback(host_and_port(self.listen)[0]):
            raise ValueError(
                f"listen: {self.listen} is reached from other machines in plain text and without "
                "a password: set allow_remote: true where the network is trusted"
            )
        return self


class OrchestratorSettings(Settings):
    """One account."""

    account: str = Field(default="default", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Its name at the risk service and in its order ids."""

    bar_seconds: float = Field(default=1800.0, gt=0.0)
    """Length of a bar in seconds; a policy that was trained on bars of another length is
    refused."""

    market: str = Field(default="auto", min_length=1)
    """When what is traded is traded: a name such as always-open, fx-week or XNYS, or auto, which
    takes it from the policy, or else recognises it from the bars."""

    instruments: dict[Annotated[str, Field(min_length=1)], NamedInstrument] = Field(
        default_factory=dict
    )
    """What symbols are traded as: `{BTC: BTC}` with names of config/instruments.yaml, or as they
    are. A symbol that is not named is traded as its policy was trained; one that is named otherwise
    is refused."""

    folder: Path = Path("runs/orchestrator")
    """The journal, the paper broker's books and, by default, the decision log."""

    services: ServiceAddresses = ServiceAddresses()
    """Where the services are, and how they are called."""

    allocations: tuple[AllocationSettings, ...] = Field(min_length=1)
    """What is traded, by which policies, with how much cash."""

    features: tuple[str, ...] = ()
    """Feature groups beside Tradewind's own that a policy may need: `package.module:Attribute`, or
    the name under which an installed package announces one. A bundle that needs another is
    refused; what it says is never imported."""

    feed: FeedSettings = SampleFeedSettings()
    """Where the bars come from; by default the embedded sample."""

    guard: BarGuardSettings = BarGuardSettings()
    """Which bars are believed."""

    broker: BrokerSettings = PaperBrokerSettings()
    """Who fills the orders."""

    orders: OrderSettings = OrderSettings()
    """How what a policy wants becomes orders."""

    safety: SafetySettings = SafetySettings()
    """What is done when a tick cannot be decided as it should."""

    log: DecisionLogSettings = DecisionLogSettings()
    """Where decisions are recorded."""

    logging: LogSettings = LogSettings()
    """What is written to standard error."""

    tracing: TracingSettings | None = None
    """Where spans of ticks and calls go; without, there are none."""

    live: LiveSettings | None = None
    """The live view; without, there is none."""

    metrics_listen: MetricsListen = ""
    """`HOST:PORT` where Prometheus finds the metrics, with or without a live view; empty for
    nowhere, port 0 picks a
    free one."""

    alerts: AlertSettings | None = None
    """Whom to tell of halts, of services and feeds that are gone, and of a failure; nobody by
    default."""

    routing_key: RoutingKey = "account"
    """What stays with one variant of a routed policy: the account, each symbol, or the policy."""

    accept_risk_digests: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    """Digests of risk policies that a policy may have been trained under although the risk service
    runs another one, as the refusal says them. The decision log records them."""

    ready_timeout_s: float = Field(default=30.0, gt=0.0)
    """How long to wait for the services at the start."""

    @model_validator(mode="after")
    def _refuse_repetitions(self) -> Self:
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError(f"each symbol may be allocated once: {', '.join(self.symbols)}")
        unknown = sorted({*self.instruments} - {*self.symbols})
        if unknown:
            raise ValueError(
                f"instruments: {', '.join(unknown)} is not traded here, {', '.join(self.symbols)} "
                "are; it is {SYMBOL: INSTRUMENT}"
            )
        return self

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is traded."""
        return tuple(symbol for allocation in self.allocations for symbol in allocation.symbols)

    @property
    def interval_ns(self) -> int:
        """Length of a bar in nanoseconds."""
        return round(self.bar_seconds * 1e9)
