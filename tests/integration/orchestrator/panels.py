"""What the tests of policies of several symbols trade, and on which settings."""

import asyncio
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.agents import OrchestratorAgent
from orchestrator.agents.runner import build_agent
from orchestrator.analysis.decision_replay.bundles import OpenBundle, open_bundle
from orchestrator.settings import OrchestratorSettings
from tests.integration.orchestrator.conftest import Desk
from tradewind.bundle import BundleDraft, read_bundle
from tradewind.market import Bars, known_groups
from tradewind.settings import load_settings

SYMBOLS = ("BTC", "ETH", "LTC")
ROWS, SHORT_ROWS = 420, 200
MISSING = {"ETH": {150, 151, 200, *range(280, 290)}, "LTC": {150, 260}}
MAX_GAP_BARS = 8
# What a fill costs in the training environment: nothing but its slippage and fee, at the open.
FRICTIONLESS = {
    "latency_ms": 0.0, "level_spacing": 0.0, "level_variation": 0.0, "level_share": 1.0,
}  # fmt: skip
TRAINING = {
    "training_params.total_timesteps": 256,
    "training_params.held_out_fraction": 0.05,
    "algo_params.n_steps": 64,
    "algo_params.n_epochs": 1,
    "evaluation.resamples": 100,
    "tracking.tensorboard": "null",
    # Not of Tradewind: trained with, served, traded on and replayed like all others.
    "features.groups": "[{kind: 'tests.integration.orchestrator.own_features:Gap'}]",
}
OWN_FEATURES = tuple(f"tests.integration.orchestrator.own_features:{it}" for it in ("Gap", "Late"))
KNOWN = known_groups(OWN_FEATURES)


def bundle_of(desk: Desk, policy: str) -> OpenBundle:
    """The only version of a policy."""
    (path,) = (desk.folder / "store" / policy).iterdir()
    return open_bundle(path, KNOWN)


def draft_of(path: Path, change: str) -> BundleDraft:
    """The panel's bundle under another name, with one thing changed."""
    bundle = read_bundle(path)
    metadata = bundle.metadata
    assert metadata.features is not None
    features, training = metadata.features, metadata.training
    if change == "symbols":
        features = features.model_copy(update={"symbols": SYMBOLS[::-1]})
    if change == "costs":
        environment = training.config["environment"]
        assert isinstance(environment, dict)
        costs = {**environment, "transaction_cost": 0.002}
        config = {**training.config, "environment": costs}
        training = training.model_copy(update={"config": config})
    return BundleDraft(
        name="other-panel",
        algo=metadata.algo,
        policy_pt=bundle.policy_pt,
        golden=bundle.golden,
        obs_space=metadata.obs_space,
        action_space=metadata.action_space,
        distribution=metadata.distribution,
        features=features,
        risk=metadata.risk,
        training=training,
        slo=metadata.slo,
    )


def settings_of(desk: Desk, name: str, series: list[Bars], **changes: Any) -> OrchestratorSettings:
    """The example's settings, for an account of its own over bars in files."""
    files = {}
    for bars in series:
        path = desk.folder / f"{name}-{bars.symbol}.parquet"
        columns = {column: getattr(bars, column) for column in ("open", "high", "low", "close")}
        times = pa.array(bars.timestamps_ns, type=pa.timestamp("ns", tz="UTC"))
        table = pa.table({"timestamp": times, **columns, "volume": bars.volume})
        pq.write_table(table, path)
        files[bars.symbol] = path
    overrides = {
        "account": "panel",  # the draws of the paper market go by it
        "folder": desk.folder / name,
        "log.folder": desk.folder / name / "log",
        "log.segment_ticks": 100,
        "services.inference": desk.inference.address,
        "services.risk": desk.risk.address,
        "safety.budget_ms": 10_000.0,
        "features": OWN_FEATURES,
        "feed": {"kind": "files", "files": files},
        **changes,
    }
    return load_settings(Path("config/orchestrator-panel.yaml"), OrchestratorSettings, overrides)


def mixed(desk: Desk, name: str, series: list[Bars]) -> OrchestratorSettings:
    """An account in which a policy of one symbol trades beside the panel."""
    allocations = [
        {"symbols": list(SYMBOLS), "policy": "panel", "cash": 60_000.0},
        {"symbol": "XRP", "policy": "tiny-dqn", "cash": 20_000.0},
    ]
    guard = {"max_gap_bars": MAX_GAP_BARS}
    return settings_of(desk, name, series, allocations=allocations, guard=guard)


def run(settings: OrchestratorSettings) -> OrchestratorAgent:
    """Trades until the feed ends."""
    agent = build_agent(settings)
    asyncio.run(agent.run())
    return agent
