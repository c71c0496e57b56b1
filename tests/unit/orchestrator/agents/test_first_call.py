"""The risk service has the request before anything else of a tick is done."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from orchestrator.account.portfolio import Allocation, Portfolio
from orchestrator.account.risk_history import RiskHistory
from orchestrator.agents import ExecutionAgent
from orchestrator.decision_log import BarRecord
from orchestrator.feeds import Tick
from orchestrator.settings import SafetySettings
from tests.unit.orchestrator.agents.test_safe_thing import START, STEP, Guard
from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import UnavailableError
from tradewind.market import FeatureSpec, PositionState
from tradewind.rpc.clients import AsyncInferenceClient, AsyncRiskClient, BatchPrediction

BARS = FeatureSpec().lookback


class Waiting(Portfolio):
    """Gives a position, which the observation needs, only when the risk service was asked."""

    asked: threading.Event

    def position(self, symbol: str) -> PositionState:
        # The loop stands still meanwhile: what was not sent yet is not sent now.
        assert self.asked.wait(30), "the observation is made before the risk service is asked"
        return super().position(symbol)


class Inference(AsyncInferenceClient):
    """Is not there."""

    def __init__(self) -> None: ...

    async def predict_batch(self, *_: Any, **__: Any) -> BatchPrediction:
        raise UnavailableError("gone")


@pytest.fixture
def risk() -> Iterator[tuple[str, threading.Event]]:
    """Address of a service that allows everything, and what says that it was asked."""
    asked = threading.Event()

    def evaluate(
        request: risk_pb2.EvaluateRequest, _context: grpc.ServicerContext
    ) -> risk_pb2.EvaluateResponse:
        asked.set()
        return risk_pb2.EvaluateResponse(
            action=risk_pb2.ACTION_ALLOW, request_id=request.request_id
        )

    handler = grpc.unary_unary_rpc_method_handler(
        evaluate,
        request_deserializer=risk_pb2.EvaluateRequest.FromString,
        response_serializer=risk_pb2.EvaluateResponse.SerializeToString,
    )
    name = risk_pb2.DESCRIPTOR.services_by_name["RiskService"].full_name
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"Evaluate": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}", asked
        server.stop(None).wait()


def test_decide_has_sent_evaluate_before_it_makes_an_observation(
    risk: tuple[str, threading.Event],
) -> None:
    address, asked = risk
    portfolio = Waiting([Allocation(("BTC",), "p", 10_000.0)])
    portfolio.asked = asked
    history = RiskHistory(["BTC"], 10_000.0, STEP, BARS)

    async def decide() -> list[str]:
        async with AsyncRiskClient(address) as client:
            await client.evaluate(history.inputs())  # connects
            asked.clear()
            agent = ExecutionAgent(
                Inference(),
                client,
                Guard(),
                portfolio=portfolio,
                history=history,
                safety=SafetySettings(budget_ms=60_000.0),
                account="default",
            )
            agent.learn(bars)
            tick = Tick(bars[-1].arrived_ns, bars[-1:], complete_ns=time.perf_counter_ns())
            decision = await agent.decide(tick, "r-1", frozenset())
            return [reason.value for reason in decision.reasons]

    bars = []
    for number, close in enumerate(np.linspace(100.0, 110.0, BARS).tolist()):
        start = START + number * STEP
        bars.append(BarRecord("BTC", start, close, close, close, close, 5.0, start + STEP))
        portfolio.close_bars(bars[-1:])
        history.record(start + STEP, bars[-1:], [], portfolio.equity, portfolio.positions())
    assert asyncio.run(decide()) == ["RISK_POLICY_CHANGED", "INFERENCE_UNAVAILABLE"]
