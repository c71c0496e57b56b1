"""What `tradewind demo` shows: services, a training, an account, and the proof of its log."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import typer
import yaml
from rich.console import Console

from orchestrator.agents import OrchestratorAgent
from orchestrator.agents.runner import build_agent
from orchestrator.decision_log import DecisionLog
from orchestrator.events import EventBus
from orchestrator.feeds import SampleFeedSettings
from orchestrator.live.process import WatchProcess
from orchestrator.settings import LiveSettings, OrchestratorSettings
from tradewind.bundle import BundleStore, read_bundle
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.errors import StorageError, TradewindError, TrainingError, UnavailableError
from tradewind.jobs import JobState
from tradewind.market import load_sample, split_bars
from tradewind.reporting.progress import WorkBar
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient, TrainerClient
from tradewind.settings import parse_settings
from tradewind.shipped import shipped_or_own
from tradewind.urls import sqlite_url
from tradewind_cli.output import print_fields, print_table
from tradewind_cli.progress import follow_job
from tradewind_cli.replay import verdict

if TYPE_CHECKING:
    from orchestrator.analysis.tearsheet import Sheet

__all__ = ["Demonstration"]

_POLICY: Final = "demo"
_SYMBOL: Final = "BTC"
_RISK_POLICY: Final = Path("config/risk_limits.yaml")
_LOAD_TIMEOUT_S: Final = 30.0
_SHOWN_EVERY: Final = 50
_BASELINES: Final = {"policy, no rules": "", "buy and hold": "buy_and_hold_", "random": "random_"}
_FIGURES: Final = {
    "return": ("return", "+.2%"),
    "max_drawdown": ("drawdown", ".2%"),
    "expected_shortfall_95": ("ES 95", ".2%"),
    "trades": ("fills", ",.0f"),
    "costs": ("costs", ".2%"),
}


class Demonstration:
    """One demo, in a folder of its own.

    Args:
        console: Where progress is drawn.
        folder: Where everything is written to.
        runner: Runs what is on asyncio, one after the other.
        stack: Stops what was started.
    """

    def __init__(
        self,
        console: Console,
        folder: Path,
        runner: asyncio.Runner,
        stack: contextlib.ExitStack,
    ) -> None:
        self._console = console
        self._folder = folder
        self._runner = runner
        self._stack = stack
        self._services: dict[str, ServiceProcess] = {}

    def run(self, training: dict[str, Any], live: str) -> None:
        """All of it.

        Raises:
            TradewindError: A step failed.
        """
        view = parse_settings({"listen": live}, LiveSettings, source="--live")
        try:
            self._show(training, view)
        except TradewindError as problem:
            for ended in self._ended():
                problem.add_note(ended)
            raise

    def _ended(self) -> list[str]:
        """Which of the services do not run any more."""
        codes = {name: process.popen.poll() for name, process in self._services.items()}
        return [f"{name} has ended with {code}" for name, code in codes.items() if code is not None]

    def _show(self, training: dict[str, Any], view: LiveSettings) -> None:
        trainer, inference, risk = self._start_services()
        bus = EventBus()
        folder = self._folder / "orchestrator"
        settings = parse_settings(
            {
                "account": "demo",
                "folder": folder,
                "services": {"inference": inference, "risk": risk},
                "allocations": [{"symbol": _SYMBOL, "policy": _POLICY}],
                "log": {"folder": folder / "log"},
                "live": view.model_dump(),
            },
            OrchestratorSettings,
            source="the demo's orchestrator",
        )
        self._show_live_view(settings, bus)
        bundle = self._train(trainer, training)
        self._wait_until_served(inference, bundle.name)
        metadata = read_bundle(bundle).metadata
        trained: Any = metadata.training.config
        fraction = trained["training_params"]["held_out_fraction"]
        feed = SampleFeedSettings(held_out_fraction=fraction)
        bars = split_bars(load_sample(_SYMBOL), fraction)[1]
        self._trade(settings.model_copy(update={"feed": feed}), bus, len(bars))
        self._sum_up(folder / "log", metadata.evaluation)

    def _start_services(self) -> tuple[str, str, str]:
        """Starts all three on free ports of this machine; gives their addresses."""
        folder = self._folder
        store = {"store": str(folder / "bundles")}
        settings: dict[str, dict[str, Any]] = {
            "trainer_service": {
                **store,
                "jobs": sqlite_url(folder / "jobs.sqlite"),
                "risk_policy": str(_RISK_POLICY),
                "checkpoints": {"folder": str(folder / "checkpoints")},
                "tracking": {"tensorboard": str(folder / "tensorboard")},
                **{name: str(folder / name) for name in ("drafts", "files")},
            },
            "inference_service": store,
            "risk_service": {
                "policy": str(shipped_or_own(_RISK_POLICY)),
                "database": sqlite_url(folder / "audit.sqlite"),
            },
        }
        free = {"server": {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}}
        processes = self._services
        with WorkBar(self._console, "starting") as bar:
            for module, own in settings.items():
                config = ["--config", str(self._write_settings(module, {**free, **own}))]
                log = folder / "logs" / f"{module}.log"
                process = ServiceProcess(module, config, log=log, wait=False)
                processes[module] = self._stack.enter_context(process)
            for module, process in processes.items():
                bar.show(figures=module)
                process.wait_ready()
        for module, process in processes.items():
            metrics = f"http://{process.metrics_address}/metrics"
            self._say(f"{module:18} on {process.address}, metrics {metrics}")
        trainer, inference, risk = (process.address for process in processes.values())
        return trainer, inference, risk

    def _show_live_view(self, settings: OrchestratorSettings, bus: EventBus) -> None:
        watch = WatchProcess(settings, bus)
        self._runner.run(watch.__aenter__())
        self._stack.callback(lambda: self._runner.run(watch.__aexit__()))
        self._say(f"{'live view':18} on {watch.url}: open it while this runs")

    def _train(self, address: str, values: dict[str, Any]) -> Path:
        """Trains and follows it; gives the bundle.

        Raises:
            TrainingError: The job did not succeed.
        """
        started = time.monotonic()
        with TrainerClient(address) as trainer:
            job = trainer.start_training(_POLICY, {**values, "data": {"symbol": _SYMBOL}})
            job = follow_job(trainer.watch(job.job_id), self._console)
        if job.state is not JobState.SUCCEEDED:
            raise TrainingError(f"the training ended as {job.state}: {job.error}")
        seconds = time.monotonic() - started
        self._say(f"trained and published {_POLICY} {job.bundle_version} in {seconds:.0f} s")
        return self._folder / "bundles" / _POLICY / job.bundle_version

    def _wait_until_served(self, address: str, version: str) -> None:
        """Waits for the inference service to have loaded a version of the policy.

        Raises:
            UnavailableError: It refused the version, or took too long.
        """
        started = time.monotonic()
        with WorkBar(self._console, "loading"), InferenceClient(address) as inference:
            while time.monotonic() < started + _LOAD_TIMEOUT_S:
                listing = inference.list_policies()
                for refused in listing.quarantined_versions:
                    why = f"{version} was refused: {refused.reason}: {refused.detail}"
                    raise UnavailableError(why)
                if any(served.version == version for served in listing.policy_versions):
                    break
                time.sleep(0.02)
            else:
                raise UnavailableError(f"{version} was not loaded in {_LOAD_TIMEOUT_S:.0f} s")
        self._say(f"verified and served {time.monotonic() - started:.2f} s later")

    def _trade(self, settings: OrchestratorSettings, bus: EventBus, total: int) -> None:
        """Trades the held-out bars on paper.

        Raises:
            UnavailableError: No tick was decided, or a service has ended meanwhile.
        """
        self._write_settings("orchestrator", settings.model_dump(mode="json"))
        bus.listen(self._say)
        log = logging.FileHandler(self._folder / "logs" / "orchestrator.log")
        self._stack.enter_context(_logging_to(log))
        started = time.monotonic()
        with WorkBar(self._console, "trading", total) as bar:
            self._runner.run(_run_agent(build_agent(settings, bus), bar))
        seconds = time.monotonic() - started
        if self._ended():
            raise UnavailableError("a service has ended while the account traded")
        counters = bus.snapshot().counters
        self._say(
            f"traded {total:,} held-out bars in {seconds:.0f} s, {total / seconds:,.0f} a second: "
            "each one PredictBatch, Evaluate, its orders, and a row of the log"
        )
        if not counters.get("decided_ticks"):
            raise UnavailableError(f"no tick was decided: {dict(counters)}")

    def _sum_up(self, log_folder: Path, evaluation: dict[str, float]) -> None:
        """Proves the log, writes its tear sheet, and prints what matters.

        Raises:
            StorageError: The log is not what a replay of it gives.
        """
        folder = self._folder
        with WorkBar(self._console, "replaying") as bar:
            # Most of what this takes is its import.
            from orchestrator.analysis.decision_replay import verify
            from orchestrator.analysis.tearsheet import latency_rows, read_sheet, render_sheet

            log = DecisionLog(log_folder)
            proved = verify(log, BundleStore(folder / "bundles"))
            bar.show(doing="drawing")
            sheet = read_sheet(log)
            page = self._write("tearsheet.html", render_sheet(sheet))
        latencies = latency_rows(sheet)
        print_table(
            ("latency", ">p50", ">p99", ">p99.9", ">max"),
            ((name, *figures) for name, _, *figures, _, _ in latencies),
        )
        typer.echo()
        _print_performance(sheet, evaluation)
        typer.echo()
        p99_us = float(np.percentile(sheet.latencies_us["Model compute"], 99.0))
        print_fields(
            {
                "objective": f"{MAX_PREDICTION_LATENCY_US:g} µs of model compute at p99: "
                f"{'met' if p99_us <= MAX_PREDICTION_LATENCY_US else 'MISSED'}, "
                f"above it {latencies[0][-1]}",
                "ticks": ", ".join(f"{of.lower()} {n:,}" for of, n in sheet.outcomes.items()),
                "halted": "; ".join(f"{it.ticks:,} ticks, {it.cause}" for it in sheet.halts)
                or "never",
                "replay of the log": f"{verdict(proved)}, {proved.elapsed_s:.1f} s",
                "tear sheet": str(page),
                "decision log": str(log_folder),
                "bundle": str(folder / "bundles" / sheet.bundles[0]),
                "settings, logs": f"{folder}/*.yaml, {folder / 'logs'}",
            }
        )
        if not proved.equal:
            raise StorageError("the log is not what its replay gives: `tradewind replay` says more")

    def _write_settings(self, name: str, settings: Mapping[str, Any]) -> Path:
        return self._write(f"{name}.yaml", yaml.safe_dump(settings, sort_keys=False).encode())

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        try:
            path.write_bytes(content)
        except OSError as problem:
            raise StorageError(f"cannot write {path}: {problem.strerror}") from problem
        return path

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


async def _run_agent(agent: OrchestratorAgent, bar: WorkBar) -> None:
    async def follow() -> None:
        with agent.bus.subscribe() as ticks:
            async for tick in ticks:
                if tick.sequence % _SHOWN_EVERY == 0:
                    drawdown = tick.risk and tick.risk.metrics.get("current_drawdown")
                    figures = f"equity {tick.equity:,.0f}"
                    if tick.risk is not None and drawdown is not None:
                        figures += f"  drawdown {drawdown:.1%}  risk {tick.risk.action}"
                    bar.show(done=tick.sequence, figures=figures)

    following = asyncio.create_task(follow())
    try:
        await agent.run()
    finally:
        following.cancel()


def _print_performance(sheet: "Sheet", evaluation: Mapping[str, float]) -> None:
    """The account beside what the trainer found on the same bars, costs included."""
    summary, capital = sheet.summary, float(sheet.facts["capital_base"])
    rows = {
        "the account": {
            "return": summary.total_return,
            "max_drawdown": summary.max_drawdown,
            "expected_shortfall_95": summary.expected_shortfall_95,
            "trades": sum(trades.fill_count for trades in sheet.symbols),
            "costs": float(sheet.fees[-1] + sheet.slippage[-1]) / capital,
        }
    }
    for name, prefix in _BASELINES.items():
        rows[name] = {figure: evaluation.get(prefix + figure) for figure in _FIGURES}
    print_table(
        ("held-out bars", *(f">{heading}" for heading, _ in _FIGURES.values())),
        (
            (name, *(_figure(row[figure], shown) for figure, (_, shown) in _FIGURES.items()))
            for name, row in rows.items()
        ),
    )


@contextlib.contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _figure(value: float | None, shown: str) -> str:
    return "unavailable" if value is None else format(value, shown)
