"""Typed clients of the three services; a failed call raises what its server raised.

Each call is described once, in `inference_calls`, `risk_calls` and `trainer_calls`: its request,
and what its answer says. `client`, `aio` and `streams` make these calls, blocking and on asyncio.
"""

from tradewind.jobs import JobState, TrainingJob
from tradewind.risk.decision import DecisionRecord, Evaluation, RiskPolicyStatus
from tradewind.rpc.clients.inference import (
    AsyncInferenceClient,
    AsyncPredictStream,
    InferenceClient,
    PredictStream,
)
from tradewind.rpc.clients.risk import (
    AsyncCalculateStream,
    AsyncRiskClient,
    CalculateStream,
    RiskClient,
)
from tradewind.rpc.clients.trainer import AsyncTrainerClient, TrainerClient
from tradewind.serving import (
    BatchPrediction,
    LatencyReport,
    PolicyDescription,
    PolicyListing,
    PolicyVersion,
    Prediction,
    QuarantinedVersion,
    Rollback,
    Routing,
    RoutingVariant,
    ShadowAnswer,
    VariantBounds,
)

__all__ = [
    "AsyncCalculateStream",
    "AsyncInferenceClient",
    "AsyncPredictStream",
    "AsyncRiskClient",
    "AsyncTrainerClient",
    "BatchPrediction",
    "CalculateStream",
    "DecisionRecord",
    "Evaluation",
    "InferenceClient",
    "JobState",
    "LatencyReport",
    "PolicyDescription",
    "PolicyListing",
    "PolicyVersion",
    "PredictStream",
    "Prediction",
    "QuarantinedVersion",
    "RiskClient",
    "RiskPolicyStatus",
    "Rollback",
    "Routing",
    "RoutingVariant",
    "ShadowAnswer",
    "TrainerClient",
    "TrainingJob",
    "VariantBounds",
]
