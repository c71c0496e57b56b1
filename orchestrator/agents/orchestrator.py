"""The loop that trades one account: ticks in, orders out, everything written down."""

import dataclasses
import logging
import time
import uuid
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from orchestrator.account.carry import carried_facts, carried_instruments
from orchestrator.account.journal import Journal, JournalEntry
from orchestrator.account.portfolio import Allocation, Portfolio
from orchestrator.account.risk_history import RiskHistory, history_length
from orchestrator.agents.contract_guard import ContractGuard
from orchestrator.agents.decision import TickDecision
from orchestrator.agents.execution import ExecutionAgent
from orchestrator.agents.expectation import Expectation
from orchestrator.agents.halts import HaltWatch
from orchestrator.agents.held_up import watched_loop
from orchestrator.agents.instrument_choice import choose_instruments
from orchestrator.agents.market_choice import choose_markets
from orchestrator.agents.order_desk import OrderDesk
from orchestrator.agents.pending import withheld_orders
from orchestrator.agents.questions import ask_risk
from orchestrator.agents.reasons import Reason
from orchestrator.agents.reconciliation import PendingOrders, reconcile_within
from orchestrator.agents.recovery import book_tick, last_logged, restore, with_outcomes
from orchestrator.agents.services import open_inference, open_risk, resume_command
from orchestrator.agents.withdrawal import withdraw_orders
from orchestrator.brokers import BROKERS, Broker, BrokerGuard, OrderState
from orchestrator.decision_log import (
    DecisionLogWriter,
    FillRecord,
    OrderRecord,
    PositionRecord,
    TickRecord,
)
from orchestrator.events import EventBus
from orchestrator.feeds import (
    FEEDS,
    BarGuard,
    FeedBar,
    FeedFault,
    KnownTimes,
    Tick,
    believed,
    read_ticks,
)
from orchestrator.markets import LAST_CLOSE, Markets
from orchestrator.settings import OrchestratorSettings
from tradewind.errors import ConflictError, TradewindError
from tradewind.identity import stated
from tradewind.logs import log_context
from tradewind.market import Instrument, known_groups
from tradewind.risk.calculators.volatility import AUTO, VOLATILITY
from tradewind.risk.periods import check_periods, window_doubts
from tradewind.tracing import Tracer, in_span

__all__ = ["OpenBroker", "OpenFeed", "OrchestratorAgent"]

_logger = logging.getLogger(__name__)

OpenFeed = Callable[[int | None, Markets], AsyncIterable[FeedBar | FeedFault]]
"""Opens the feed after the close of the last tick that was journalled, if there was one."""

OpenBroker = Callable[[Markets], Broker]


class OrchestratorAgent:
    """Trades one account until its feed ends.

    It keeps a journal, sends no order that is not in it, and after a crash goes on where it was.

    Args:
        settings: The account.
        open_feed: Opens the feed.
        open_broker: Opens the broker.
        bus: Who watches.
        tracer: Gives every tick and every call a span; none by default.
        known_times: Starts of bars of each symbol, as far as there are any before the first one
            comes: what a market is recognised from.

    Attributes:
        bus: Who watches.
        portfolio: What the account holds.
        open_orders: Set when it ends: orders that still work at the broker; None when it did not
            say.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        open_feed: OpenFeed,
        open_broker: OpenBroker,
        bus: EventBus | None = None,
        tracer: Tracer | None = None,
        known_times: Callable[[], KnownTimes] = dict,
    ) -> None:
        self._settings = settings
        self._open_feed = open_feed
        self._open_broker = open_broker
        self.bus = bus or EventBus()
        self._tracer = tracer
        self._known_times = known_times
        self._run_id = uuid.uuid4().hex[:12]
        self.portfolio = Portfolio(
            [Allocation(item.symbols, item.policy, item.cash) for item in settings.allocations]
        )
        self._carried: Mapping[str, Instrument] = {}
        self.open_orders: Sequence[OrderState] | None = ()
        self._halts = HaltWatch(
            settings.account,
            settings.safety,
            resume_command(settings.services, settings.account),
            self.bus,
        )

    async def run(self) -> None:
        """Verifies, recovers, and trades until the feed ends.

        Raises:
            ConflictError: Something must not be traded as it is: a contract, or the account.
            StorageError: The journal or the log cannot be written: nothing is sent any more.
            UnavailableError: A service was not there at the start.
        """
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(watched_loop())
                await self._start(stack)
                stack.push_async_callback(self._note_open_orders)
                self._halts.trade()
                self.bus.expect(self._expectation.first())
                async for tick in read_ticks(
                    self._feed,
                    self._guard,
                    self._settings.symbols,
                    interval_ns=self._settings.interval_ns,
                    wait_s=self._settings.safety.gather_ms / 1e3,
                    tell_refusal=self.bus.refuse,
                ):
                    request_id = f"{self._settings.account}-{self._run_id}-{self._sequence}"
                    about = {
                        "tradewind.request_id": request_id,
                        "tradewind.account": self._settings.account,
                    }
                    with log_context(request_id=request_id), in_span(self._tracer, "tick", about):
                        await self._handle(tick, request_id)
            self._say_if_nothing_was_decided()
            self.bus.set_state("STOPPED", "the feed has ended")
        except Exception as problem:
            kind = "" if isinstance(problem, TradewindError) else f"{type(problem).__name__}: "
            self.bus.set_state("FAILED", f"{kind}{problem}")
            raise

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        services, tracer = settings.services, self._tracer
        inference = await stack.enter_async_context(open_inference(services, tracer=tracer))
        risk = await stack.enter_async_context(open_risk(services, tracer=tracer))
        await inference.wait_ready(settings.ready_timeout_s)
        await risk.wait_ready(settings.ready_timeout_s)
        self._risk = risk
        self._contracts = ContractGuard(
            inference,
            risk,
            self.portfolio.allocations,
            settings.interval_ns,
            known_groups(settings.features),
            settings.accept_risk_digests,
        )
        await self._contracts.verify()
        journal = Journal(settings.folder / f"{settings.account}.journal")
        stack.callback(journal.close)
        self._journal = journal
        self._markets = self._choose_markets()
        self._hold_risk_policy_against_bars()
        broker = BROKERS.make(self._open_broker, "broker.kind", self._markets)
        self._broker = BrokerGuard(broker, settings.orders)
        stack.push_async_callback(self._broker.close)
        self._desk = OrderDesk(
            self._broker,
            settings.account,
            self._markets,
            settings.orders,
            settings.safety.broker_timeout_s,
        )
        if self._broker.terms().paper is not None:
            self._carry()
        facts = self._facts()
        self.bus.set_facts(facts)
        log = DecisionLogWriter(settings.log, facts, before_flush=journal.sync)
        self._log = stack.enter_context(log)
        self._guard = BarGuard(
            settings.guard, settings.symbols, settings.interval_ns, self._markets
        )
        self._expectation = Expectation(self._markets, settings.guard.max_lateness_ns)
        self._history = RiskHistory(
            settings.symbols,
            self.portfolio.capital_base,
            settings.interval_ns,
            history_length(self._contracts.risk_policy),
            self._markets,
        )
        self._agent = ExecutionAgent(
            inference,
            risk,
            self._contracts,
            portfolio=self.portfolio,
            history=self._history,
            safety=settings.safety,
            account=settings.account,
            routing_key=settings.routing_key,
            instruments=self._markets.instruments,
        )
        self._halts.begin()
        await self._recover()

    async def _recover(self) -> None:
        entries = self._journal.entries
        last = await restore(
            entries,
            account=self._settings.account,
            run_id=self._run_id,
            logged=last_logged(self._settings.log.folder),
            guard=self._guard,
            agent=self._agent,
            portfolio=self.portfolio,
            history=self._history,
            log=self._log,
        )
        for entry in entries:
            self._broker.recover((order for order, _ in entry.orders), entry.fills)
        reconciled = await reconcile_within(
            self._settings.ready_timeout_s, self._broker, entries, self.portfolio, self._judge
        )
        if last is not None:
            await self._log.append(with_outcomes(last, reconciled.withheld, reconciled.rejected))
        self._sequence = entries[-1].sequence + 1 if entries else 0
        after_ns = entries[-1].close_ns if entries else None
        self._feed = believed(FEEDS.make(self._open_feed, "feed.kind", after_ns, self._markets))

    def _choose_markets(self) -> Markets:
        settings = self._settings
        policies = {item.policy for item in settings.allocations}
        contracts = {policy: self._contracts.policy(policy).contract for policy in policies}
        markets = choose_markets(
            settings.market,
            settings.allocations,
            {policy: contract.market for policy, contract in contracts.items()},
            FEEDS.make(self._known_times, "feed.kind"),
            self._journal.entries,
            settings.interval_ns,
        )
        trained_on = {policy: contract.terms for policy, contract in contracts.items()}
        markets.instruments = choose_instruments(
            settings.instruments, settings.allocations, trained_on, markets.names
        )
        return markets

    def _carry(self) -> None:
        """Has the account charged what a broker on paper does not book."""
        policies = {item.policy for item in self.portfolio.allocations}
        terms = {policy: self._contracts.policy(policy).contract.terms for policy in policies}
        self._carried = carried_instruments(
            self.portfolio.allocations, terms, self._markets.instruments
        )
        self.portfolio.carry(self._carried, self._settings.interval_ns)

    def _hold_risk_policy_against_bars(self) -> None:
        policy, market = self._contracts.risk_policy, self._markets.account_market
        interval_ns = self._settings.interval_ns
        if market is not None:
            check_periods(policy, market.periods_per_year(interval_ns), market.name)
        elif policy.calculators.of(VOLATILITY).periods_per_year == AUTO:
            _logger.warning(
                "the market is not known, so how many bars a year has is not either: volatility is "
                "unavailable, and a rule on it takes its action; `market` in the settings says it"
            )
        for doubt in window_doubts(policy, interval_ns / 1e9):
            _logger.warning("risk policy: %s", doubt)

    def _say_if_nothing_was_decided(self) -> None:
        counters = self.bus.snapshot().counters
        if not counters.get("decided_ticks"):
            codes = {name: count for name, count in counters.items() if name.isupper()}
            most = ", ".join(f"{name} {count:,}" for name, count in sorted(codes.items()))
            _logger.warning("no tick was decided until the feed ended: %s", most or "no bars came")

    async def _judge(self, orders: PendingOrders, held: Mapping[str, float]) -> Mapping[str, str]:
        """Which orders of before a crash the risk service does not allow now."""
        inputs = self._history.inputs()
        reply = await ask_risk(
            self._risk,
            self._contracts,
            inputs,
            account=self._settings.account,
            request_id=f"{self._settings.account}-{self._run_id}-recovery",
            required_metrics=self._settings.safety.required_metrics,
            timeout_s=self._settings.ready_timeout_s / 2,
        )
        self._halts.recovered(reply.evaluation)
        return withheld_orders(orders, held, reply, inputs, self._contracts.enforced)

    async def _note_open_orders(self) -> None:
        self.open_orders = await self._desk.open_orders_at_end()

    def _facts(self) -> dict[str, object]:
        settings = self._settings
        return {
            "account": settings.account,
            "interval_ns": settings.interval_ns,
            "markets": self._markets.names,
            "instruments": {
                symbol: stated(each) for symbol, each in self._markets.instruments.items()
            },
            "carried": carried_facts(self._carried),
            "start_of_day": LAST_CLOSE,
            "capital_base": self.portfolio.capital_base,
            "allocations": [item.model_dump(mode="json") for item in settings.allocations],
            "broker": self._broker.terms().model_dump(mode="json"),
            "orders": settings.orders.model_dump(mode="json"),
            "safety": settings.safety.model_dump(),
            "history_length": history_length(self._contracts.risk_policy),
            **self._contracts.facts(),
        }

    async def _handle(self, tick: Tick, request_id: str) -> None:
        """One tick, from its bars to its orders."""
        filled: list[FillRecord] = []
        busy = await self._desk.look(tick, self.portfolio.last_fill_sequence, filled)
        fills = tuple(filled)
        entry = JournalEntry(self._sequence, tick.close_ns, tuple(tick.bars), fills, ())
        positions = book_tick(
            tick.close_ns,
            entry,
            agent=self._agent,
            portfolio=self.portfolio,
            history=self._history,
        )
        decision = await self._agent.decide(
            tick,
            request_id,
            frozenset(self._settings.symbols) if busy is None else busy,
            Reason.BROKER_TERMS if self._broker.doubt else None,
        )
        withdrawn: list[OrderRecord] = []
        if busy is None:
            decision.add(Reason.BROKER_UNAVAILABLE)
        elif doubtful := decision.withdrawn & busy:
            timeout_s = self._settings.safety.broker_timeout_s
            withdrawn = await withdraw_orders(
                self._broker, decision, self.portfolio, doubtful, timeout_s
            )
        before_journal = time.perf_counter_ns()
        intents = decision.intents if busy is not None else ()
        orders = self._desk.orders(self._sequence, tick.close_ns, intents)
        self._journal.append(dataclasses.replace(entry, orders=tuple(orders)))
        before_submit = time.perf_counter_ns()
        records = (*withdrawn, *await self._desk.submit(orders, decision))
        done = time.perf_counter_ns()
        decision.timings = dataclasses.replace(
            decision.timings,
            journal_ns=before_submit - before_journal,
            submit_ns=done - before_submit,
            bar_to_order_ns=done - tick.complete_ns,
        )
        record = self._record(tick, fills, positions, decision, records)
        self._sequence += 1
        await self._log.append(record)
        self._tell(record, decision)
        self.bus.expect(self._expectation.after(tick))
        await self._compare_again(decision)

    def _record(
        self,
        tick: Tick,
        fills: tuple[FillRecord, ...],
        positions: tuple[PositionRecord, ...],
        decision: TickDecision,
        orders: tuple[OrderRecord, ...],
    ) -> TickRecord:
        return TickRecord(
            sequence=self._sequence,
            run_id=self._run_id,
            account=self._settings.account,
            close_ns=tick.close_ns,
            decided_ns=time.time_ns(),
            outcome=decision.outcome,
            reasons=tuple(decision.reasons),
            bars=tuple(tick.bars),
            refused_bars=tuple(tick.refused),
            fills=fills,
            positions=positions,
            cash=self.portfolio.cash,
            equity=self.portfolio.equity,
            fees_paid=self.portfolio.fees_paid,
            start_of_day_equity=self._history.start_of_day_value,
            inputs_digest=decision.inputs_digest,
            decisions=tuple(decision.decisions),
            risk=decision.risk,
            orders=orders,
            timings=decision.timings,
        )

    def _tell(self, record: TickRecord, decision: TickDecision) -> None:
        self._halts.look(record, decision.evaluation)
        self.bus.publish(record)

    async def _compare_again(self, decision: TickDecision) -> None:
        """Compares what changed since it was compared last; what is refused is not traded on."""
        try:
            if decision.risk_policy_changed:
                await self._contracts.verify_risk_policy()
            for served in decision.unknown_versions:
                refusal = await self._contracts.verify_version(*served)
                if refusal:
                    _logger.error("%s: %s", Reason.CONTRACT_MISMATCH, refusal)
        except ConflictError as problem:
            _logger.error("%s: %s", Reason.CONTRACT_MISMATCH, problem)
        except TradewindError as problem:
            _logger.warning("cannot compare what is served: %s", problem)
