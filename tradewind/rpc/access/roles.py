"""Which roles open which method. What stands in neither table is closed to everybody."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ["METHOD_ROLES", "PUBLIC_METHODS", "Role"]


class Role(StrEnum):
    """What an identity may do; none of them includes another one."""

    PREDICT = "predict"
    """Ask policies for actions, and what is loaded."""

    CALCULATE = "calculate"
    """Ask for risk metrics, which changes nothing."""

    EVALUATE = "evaluate"
    """Have decisions made about accounts, which may halt them."""

    RESUME = "resume"
    """Clear a halt or the rollback of a variant, and read the audit trail."""

    TRAIN = "train"
    """Start, follow and cancel trainings."""

    ADMIN = "admin"
    """Read everything: jobs, decisions, reports, interfaces by reflection; take a variant out."""


_INFERENCE: Final = "/tradewind.api.inference.v1.InferenceService"
_OPEN_INFERENCE: Final = "/inference.GRPCInferenceService"
_RISK: Final = "/tradewind.api.risk.v1.RiskService"
_TRAINER: Final = "/tradewind.api.trainer.v1.TrainerService"
_PREDICT: Final = frozenset({Role.PREDICT})
_LOOK_AT_POLICIES: Final = frozenset({Role.PREDICT, Role.ADMIN})
_CALCULATE: Final = frozenset({Role.CALCULATE})
_LOOK_AT_DECISIONS: Final = frozenset({Role.RESUME, Role.ADMIN})
_LOOK_AT_RISK: Final = frozenset({Role.CALCULATE, Role.EVALUATE, Role.RESUME, Role.ADMIN})
_TRAIN: Final = frozenset({Role.TRAIN})
_LOOK_AT_JOBS: Final = frozenset({Role.TRAIN, Role.ADMIN})

METHOD_ROLES: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        f"{_INFERENCE}/Predict": _PREDICT,
        f"{_INFERENCE}/PredictBatch": _PREDICT,
        f"{_INFERENCE}/PredictStream": _PREDICT,
        f"{_INFERENCE}/GetPolicy": _LOOK_AT_POLICIES,
        f"{_INFERENCE}/ListPolicies": _LOOK_AT_POLICIES,
        f"{_INFERENCE}/GetLatencyReport": _LOOK_AT_POLICIES,
        f"{_INFERENCE}/GetRouting": _LOOK_AT_POLICIES,
        f"{_INFERENCE}/ListShadowAnswers": _LOOK_AT_POLICIES,
        # The safe direction: who watches an account's risk may do it, and it has to be undone.
        f"{_INFERENCE}/RollBackVariant": frozenset({Role.EVALUATE, Role.ADMIN}),
        f"{_INFERENCE}/ReinstateVariant": frozenset({Role.RESUME}),
        f"{_OPEN_INFERENCE}/ModelInfer": _PREDICT,
        f"{_OPEN_INFERENCE}/ModelReady": _LOOK_AT_POLICIES,
        f"{_OPEN_INFERENCE}/ModelMetadata": _LOOK_AT_POLICIES,
        f"{_OPEN_INFERENCE}/ServerMetadata": _LOOK_AT_POLICIES,
        f"{_OPEN_INFERENCE}/RepositoryIndex": _LOOK_AT_POLICIES,
        f"{_OPEN_INFERENCE}/ModelConfig": _LOOK_AT_POLICIES,
        f"{_OPEN_INFERENCE}/ModelStatistics": _LOOK_AT_POLICIES,
        f"{_RISK}/CalculateOnly": _CALCULATE,
        f"{_RISK}/CalculateStream": _CALCULATE,
        f"{_RISK}/Evaluate": frozenset({Role.EVALUATE}),
        f"{_RISK}/GetRiskPolicy": _LOOK_AT_RISK,
        f"{_RISK}/Resume": frozenset({Role.RESUME}),
        f"{_RISK}/ListDecisions": _LOOK_AT_DECISIONS,
        f"{_TRAINER}/StartTraining": _TRAIN,
        f"{_TRAINER}/CancelTrainingJob": _TRAIN,
        f"{_TRAINER}/GetTrainingJob": _LOOK_AT_JOBS,
        f"{_TRAINER}/ListTrainingJobs": _LOOK_AT_JOBS,
        f"{_TRAINER}/WatchTrainingJob": _LOOK_AT_JOBS,
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": frozenset({Role.ADMIN}),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": frozenset({Role.ADMIN}),
    }
)
"""Full name of a method → the roles of which each one is enough."""

PUBLIC_METHODS: Final = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        f"{_OPEN_INFERENCE}/ServerLive",
        f"{_OPEN_INFERENCE}/ServerReady",
    }
)
"""What anybody who can connect may call: probes have no identity."""
