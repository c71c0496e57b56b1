"""A policy on real bars, the two services that an orchestrator asks, and its settings."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.agents import OrchestratorAgent
from orchestrator.settings import OrchestratorSettings
from tradewind.bundle import Bundle, BundleDraft, BundleStore, FeatureRecord, TrainingRecord
from tradewind.errors import NotFoundError
from tradewind.market import FeatureSpec, TradingTerms
from tradewind.policy import SealedNetwork
from tradewind.risk import RiskOverlay
from tradewind.risk.policy import RiskPolicy
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient, RiskClient
from tradewind.settings import parse_settings

# Six components, as many as the released tiny policy takes.
SPEC = FeatureSpec(
    return_count=2,
    volatility_windows=(),
    rsi_period=None,
    ema_periods=(4,),
    ema_depth=1,
    vwap_window=None,
    time_of_day=False,
)
TERMS = TradingTerms(initial_cash=20_000.0, allow_short=True, position_fraction=0.5)
SYMBOLS = ("BTC", "ETH", "LTC")
NO_OVERLAY = "limits: {}\n...\n"
RISK_POLICY: dict[str, Any] = {
    "limits": {"max_drawdown": {"limit": 0.9}},
    "pre_trade": {"order_notional": 1e9},
    "rules": [
        {"name": "drawdown_halt", "when": {"metric": "max_drawdown"}, "action": "HALT"},
        {
            "name": "order_too_large",
            "when": {"metric": "pre_trade.order_notional"},
            "action": "BLOCK",
        },
    ],
}


@dataclass
class Desk:
    """Two running services, a store, and where an orchestrator keeps its things.

    Attributes:
        publish: Publishes a version of the policy; changes are those of `BundleDraft`.
        risk_policy: The risk service's policy file.
    """

    folder: Path
    inference: ServiceProcess
    risk: ServiceProcess
    publish: Callable[..., str]
    risk_policy: Path

    def settings(self, **overrides: Any) -> OrchestratorSettings:
        """Settings of an orchestrator; keys may be dotted."""
        values: dict[str, Any] = {
            "folder": self.folder / "state",
            "services": {"inference": self.inference.address, "risk": self.risk.address},
            "allocations": [{"symbol": symbol, "policy": "tiny-dqn"} for symbol in SYMBOLS],
            "feed": {"kind": "sample", "held_out_fraction": 0.01},
            "safety": {"budget_ms": 10_000.0},
            "log": {"folder": self.folder / "state" / "log"},
        }
        dotted = {name.replace("__", "."): value for name, value in overrides.items()}
        return parse_settings(values, OrchestratorSettings, overrides=dotted)

    def account(self, name: str, **overrides: Any) -> OrchestratorSettings:
        """Settings of an orchestrator that shares nothing with those of other accounts."""
        folder = self.folder / name
        return self.settings(account=name, folder=folder, log__folder=folder / "log", **overrides)

    def set_risk_policy(self, policy: dict[str, Any]) -> None:
        """Changes the risk service's policy, and waits until it is in force."""
        self.risk_policy.write_text(yaml.safe_dump(policy, explicit_end=True))
        self.wait_for_risk_policy(policy)

    def wait_for_risk_policy(self, policy: dict[str, Any]) -> None:
        """Waits until the risk service has taken a changed policy over."""
        digest = RiskPolicy.parse(policy).digest()
        with RiskClient(self.risk.address) as client:
            deadline = time.monotonic() + 60.0
            while client.get_policy().policy_digest != digest:
                assert time.monotonic() < deadline, "the risk policy was not taken over"
                time.sleep(0.02)

    def wait_until_served(self, *policies: str) -> None:
        """Waits until the inference service answers for policies that were published."""
        deadline = time.monotonic() + 120.0
        with InferenceClient(self.inference.address, timeout_s=20.0) as client:
            for policy in policies:
                while True:
                    with contextlib.suppress(NotFoundError):
                        client.get_policy(policy)
                        break
                    assert time.monotonic() < deadline, f"{policy} is not served"
                    time.sleep(0.05)

    def put_on(self, overlay: str) -> str:
        """Changes the risk service's overlay and waits until it is on; gives its digest."""
        (self.folder / "overlay.yaml").write_text(overlay)
        digest = RiskOverlay.from_text(overlay.encode(), "overlay").digest()
        with RiskClient(self.risk.address) as client:
            deadline = time.monotonic() + 60.0
            while client.get_policy().overlay_digest != digest:
                assert time.monotonic() < deadline, "the overlay was not put on"
                time.sleep(0.02)
        return digest

    def config(self, **overrides: Any) -> Path:
        """The same settings as a file."""
        path = self.folder / "orchestrator.yaml"
        path.write_text(yaml.safe_dump(self.settings(**overrides).model_dump(mode="json")))
        return path


def publisher(store: BundleStore, released_draft: Callable[..., BundleDraft]) -> Callable[..., str]:
    """What publishes policies that trade as `SPEC` and `TERMS` say, in a store."""

    def publish(spec: FeatureSpec = SPEC, terms: TradingTerms = TERMS, **changes: Any) -> str:
        parts: dict[str, Any] = {
            "features": FeatureRecord(spec=spec.model_dump(mode="json"), digest=spec.digest),
            "training": TrainingRecord(
                timesteps=1, config={"environment": terms.model_dump(mode="json")}
            ),
            "risk": None,
        }
        draft = released_draft("tiny-dqn", **{**parts, **changes})
        return store.publish(draft).metadata.version

    return publish


@contextmanager
def open_desk(folder: Path, released_draft: Callable[..., BundleDraft]) -> Iterator[Desk]:
    """Both services, with one version of the policy, in a folder."""
    publish = publisher(BundleStore(folder / "store"), released_draft)
    publish()
    risk_policy = folder / "risk.yaml"
    risk_policy.write_text(yaml.safe_dump(RISK_POLICY, explicit_end=True))
    free = ("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
    stored = ("--policy", str(risk_policy), "--database", f"sqlite:///{folder}/audit.sqlite")
    with (
        ServiceProcess(
            "inference_service",
            [*free, "--store", str(folder / "store")],
            log=folder / "inference_service.log",
        ) as inference,
        ServiceProcess(
            "risk_service",
            [*free, *stored, "--config", str(_changeable(folder))],
            log=folder / "risk_service.log",
        ) as risk,
    ):
        yield Desk(folder, inference, risk, publish, risk_policy)


def _changeable(folder: Path) -> Path:
    """Settings of a risk service whose policy tests tighten and loosen as they like."""
    (folder / "overlay.yaml").write_text(NO_OVERLAY)
    path = folder / "risk_service.yaml"
    path.write_text(f"policy_may_loosen: true\noverlay: {folder / 'overlay.yaml'}\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def sealed_networks() -> Iterator[None]:
    """One sealed process a bundle for the replays of a module: each takes seconds to start."""
    started: dict[tuple[Path, str], SealedNetwork] = {}

    def start(bundle: Bundle) -> SealedNetwork:
        key = (bundle.path, bundle.metadata.sha256)
        if key not in started:
            started[key] = SealedNetwork(bundle)
        return started[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.analysis.decision_replay.bundles.SealedNetwork", start)
        yield
    for network in started.values():
        network.close()


@pytest.fixture(scope="module")
def shared_desk(
    tmp_path_factory: pytest.TempPathFactory, released_draft: Callable[..., BundleDraft]
) -> Iterator[Desk]:
    """One for the tests of a module, each of which trades accounts of its own."""
    with open_desk(tmp_path_factory.mktemp("desk"), released_draft) as desk:
        yield desk


def run_to(agent: OrchestratorAgent, sequence: int) -> None:
    """Runs an agent until a tick, and stops it as a signal does."""

    async def trade() -> None:
        trading = asyncio.create_task(agent.run())
        with agent.bus.subscribe() as ticks:
            async for tick in ticks:
                if tick.sequence == sequence:
                    break
        trading.cancel()
        await asyncio.wait([trading])

    asyncio.run(trade())


@pytest.fixture
def desk(tmp_path: Path, released_draft: Callable[..., BundleDraft]) -> Iterator[Desk]:
    """A desk of its own for each test."""
    with open_desk(tmp_path, released_draft) as desk:
        yield desk
