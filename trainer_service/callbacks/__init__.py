"""Callbacks of Stable-Baselines3: risk in the reward, and progress."""

from trainer_service.callbacks.progress import LatestMetrics, ProgressCallback
from trainer_service.callbacks.risk import RiskAwareCallback

__all__ = ["LatestMetrics", "ProgressCallback", "RiskAwareCallback"]
