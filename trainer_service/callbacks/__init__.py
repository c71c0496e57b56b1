"""Callbacks and log writers of Stable-Baselines3: risk in the reward, progress and history."""

from trainer_service.callbacks.history import MetricHistory, MetricSeries, finite_numbers
from trainer_service.callbacks.lagrangian import LagrangianCallback
from trainer_service.callbacks.progress import LatestMetrics, ProgressCallback
from trainer_service.callbacks.risk import RiskAwareCallback

__all__ = [
    "LagrangianCallback",
    "LatestMetrics",
    "MetricHistory",
    "MetricSeries",
    "ProgressCallback",
    "RiskAwareCallback",
    "finite_numbers",
]
