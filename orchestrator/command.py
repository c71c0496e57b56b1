"""Command line of the orchestrator: `python -m orchestrator --config config/orchestrator.yaml`."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from orchestrator.agents import OrchestratorAgent
from orchestrator.agents.alarm import Alarm
from orchestrator.agents.halts import holdings_text
from orchestrator.agents.pulse import Pulse
from orchestrator.agents.runner import build_agent
from orchestrator.agents.services import resume_command
from orchestrator.live.process import WatchProcess
from orchestrator.settings import OrchestratorSettings
from tradewind.alerts import alerts_of
from tradewind.logs import set_up_logging
from tradewind.process.command import Flag, process_flags, run_program
from tradewind.process.heap import settle_heap
from tradewind.tracing import tracing

__all__ = ["main"]

_FLAGS = (
    Flag("--account", "account", "the account's name", "NAME"),
    Flag("--folder", "folder", "where journal and books lie", "DIR"),
    Flag("--log", "log.folder", "where decisions are logged", "DIR"),
    *process_flags(),
    Flag("--live", "live.listen", "where to serve the live view", "HOST:PORT"),
    Flag(
        "--metrics-listen",
        "metrics_listen",
        "where to serve Prometheus, with or without a live view",
        "HOST:PORT",
    ),
    Flag("--inference", "services.inference", "the inference service", "HOST:PORT|unix:PATH"),
    Flag("--risk", "services.risk", "the risk service", "HOST:PORT|unix:PATH"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trades until the feed ends or a signal comes; gives the exit code."""
    return run_program(
        "orchestrator",
        "Trades an account until its feed ends or a signal comes.",
        OrchestratorSettings,
        _run,
        _FLAGS,
        arguments,
        needs_file=True,
    )


def _run(settings: OrchestratorSettings) -> None:
    set_up_logging(settings.logging, "orchestrator", account=settings.account)
    asyncio.run(_trade(settings))


async def _trade(settings: OrchestratorSettings) -> None:
    async with AsyncExitStack() as stack:
        tracer = stack.enter_context(tracing(settings.tracing, "orchestrator"))
        agent = build_agent(settings, tracer=tracer)
        if settings.live is not None or settings.metrics_listen:
            watch = WatchProcess(settings, agent.bus)
            await stack.enter_async_context(watch)
            if watch.url:
                _print(settings, f"live view on {watch.url}")
            if watch.metrics_address:
                _print(settings, f"metrics on http://{watch.metrics_address}/metrics")
        agent.bus.listen(lambda text: _print(settings, text))
        alerts = stack.enter_context(alerts_of(settings.alerts, f"orchestrator {settings.account}"))
        if alerts is not None:
            resume = resume_command(settings.services, settings.account)
            alarm = Alarm(agent.bus, alerts, settings.account, resume)
            await stack.enter_async_context(alarm.watching())
        await stack.enter_async_context(Pulse(agent.bus, settings.account).beating())
        settle_heap()
        trading = asyncio.create_task(agent.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, trading.cancel)
        try:
            await trading
        except asyncio.CancelledError:
            agent.bus.set_state("STOPPED", "by a signal")
            _print(settings, "stopped by a signal")
        finally:
            _print(settings, _left_open(settings, agent))
    counters = agent.bus.snapshot().counters
    counted = ", ".join(f"{name} {count:,}" for name, count in sorted(counters.items()))
    equity = agent.portfolio.equity
    _print(settings, f"equity {equity:,.2f}; {counted}")


def _print(settings: OrchestratorSettings, text: str) -> None:
    with contextlib.suppress(OSError):  # that nobody reads any more is no reason to stop trading
        sys.stdout.write(f"orchestrator {settings.account}: {text}\n")
        sys.stdout.flush()


def _left_open(settings: OrchestratorSettings, agent: OrchestratorAgent) -> str:
    """What an account is left with, for people: nobody watches it from now on."""
    held = holdings_text(agent.portfolio.positions())
    text = f"it holds {held}" if held else "it holds nothing"
    if agent.open_orders is None:
        text += "; which orders are open is not known, the broker does not answer"
    elif agent.open_orders:
        orders = ", ".join(
            f"{state.order.client_order_id} {state.order.quantity - state.filled_quantity:.10g}"
            for state in agent.open_orders
        )
        text += f"; open orders: {orders}"
    else:
        text += "; no order is open"
    halt = agent.bus.snapshot().halt
    if halt is None:
        return text
    command = resume_command(settings.services, settings.account)
    return f"{text}; it is halted by rule {halt.rule} until a person resumes it: {command}"
