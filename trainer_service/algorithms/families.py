"""What algorithms of a family share: how their models are exported."""

from collections.abc import Mapping
from typing import Any, ClassVar

from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    SquashedDiagGaussianDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN
from torch import Tensor, nn

from tradewind.bundle import Distribution
from tradewind.errors import ExportError
from trainer_service.algorithms.algorithm import Algorithm
from trainer_service.algorithms.checks import Check, check_replay
from trainer_service.algorithms.networks import ActorCriticSettings
from trainer_service.algorithms.parameters import EntropyCoefficient
from trainer_service.algorithms.vectorization import OFF_POLICY
from trainer_service.export import (
    GaussianPolicyNetwork,
    GreedyPolicyNetwork,
    SquashedGaussianPolicyNetwork,
    flat_sequence,
)

__all__ = ["ActorCritic", "SoftActorCritic"]


class ActorCritic(Algorithm):
    """Algorithms that learn from what the present policy has just done."""

    network_settings = ActorCriticSettings
    action_kinds = ("discrete", "continuous")

    def export(self, model: Any, normalizer: nn.Module) -> tuple[nn.Module, Distribution]:
        """The actor: logits, of which the largest counts, or the mean of a Gaussian, clipped."""
        policy = model.policy
        if not isinstance(policy, ActorCriticPolicy) or hasattr(policy, "lstm_actor"):
            raise ExportError(f"no export is known for a {type(policy).__name__}")
        actor = policy.mlp_extractor.policy_net
        layers = flat_sequence(policy.pi_features_extractor, actor, policy.action_net)
        if isinstance(policy.action_dist, CategoricalDistribution):
            return GreedyPolicyNetwork(normalizer, layers), Distribution(kind="categorical_logits")
        _refuse_other(policy.action_dist, DiagGaussianDistribution)
        space = model.action_space
        network = GaussianPolicyNetwork(normalizer, layers, policy.log_std, space.low, space.high)
        return network, Distribution(kind="diag_gaussian")

    def action_scores(self, model: Any, inputs: Tensor) -> Tensor:
        """Logarithms of probabilities."""
        logits: Tensor = model.policy.get_distribution(inputs).distribution.logits
        return logits


class SoftActorCritic(Algorithm):
    """Algorithms for continuous actions that learn from a replay buffer, with entropy.

    The action is the target position, a number from -1 or 0 to 1. Their networks are those of all
    our algorithms by default; the library's of 256 or 400 units are for robots of many joints.
    """

    action_kinds = ("continuous",)
    checks: ClassVar[tuple[Check, ...]] = (check_replay,)
    types: ClassVar[Mapping[str, Any]] = {"ent_coef": EntropyCoefficient}
    vectorization = OFF_POLICY

    def export(self, model: Any, normalizer: nn.Module) -> tuple[nn.Module, Distribution]:
        """The actor: the mean of a Gaussian, squashed and scaled."""
        actor, space = model.actor, model.action_space
        _refuse_other(actor.action_dist, SquashedDiagGaussianDistribution)
        network = SquashedGaussianPolicyNetwork(
            normalizer,
            flat_sequence(actor.features_extractor, actor.latent_pi),
            actor.mu,
            actor.log_std,
            (LOG_STD_MIN, LOG_STD_MAX),
            space.low,
            space.high,
        )
        return network, Distribution(kind="squashed_gaussian")


def _refuse_other(found: object, kind: type[object]) -> None:
    if type(found) is not kind:
        name = type(found).__name__
        raise ExportError(f"no export is known for actions drawn from a {name}")
