"""Which variant of a policy answers: weights, sticky keys, shadows, canaries and their rollback."""

from inference_service.routing.follower import RoutingFollower
from inference_service.routing.rollbacks import RollbackStore
from inference_service.routing.routes import Router, Variant
from inference_service.routing.shadow import ShadowRunner
from inference_service.routing.source import RoutingSource
from inference_service.routing.telemetry import RoutingTelemetry

__all__ = [
    "RollbackStore",
    "Router",
    "RoutingFollower",
    "RoutingSource",
    "RoutingTelemetry",
    "ShadowRunner",
    "Variant",
]
