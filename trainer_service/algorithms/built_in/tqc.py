"""TQC: SAC whose critics learn quantiles of the return, the highest of which are left out."""

from trainer_service.algorithms.checks import check_replay, check_top_quantiles
from trainer_service.algorithms.families import SoftActorCritic
from trainer_service.algorithms.networks import ActorQuantileCriticSettings
from trainer_service.algorithms.tail_learning import TailTQC

__all__ = ["TQC"]


class TQC(SoftActorCritic):
    """Truncated quantile critics."""

    name = "TQC"
    model_class = TailTQC
    network_settings = ActorQuantileCriticSettings
    checks = (check_replay, check_top_quantiles)
