"""Quantile algorithms that care about bad outcomes: the CVaR of the return instead of its mean.

The critic learns quantiles of the return as QR-DQN and TQC do; what is compared or climbed is the
conditional value at risk, the mean over the lowest `cvar_alpha` of them (Rockafellar & Uryasev,
2000; as a distortion of the return's distribution: Dabney et al., Implicit Quantile Networks,
2018, section 3). With 1 it is the mean, and the algorithm is the one of sb3-contrib.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from sb3_contrib import QRDQN, TQC
from sb3_contrib.common.utils import quantile_huber_loss
from sb3_contrib.qrdqn.policies import QRDQNPolicy, QuantileNetwork
from sb3_contrib.tqc.policies import Critic, TQCPolicy
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

__all__ = ["TailQRDQN", "TailQuantileNetwork", "TailTQC"]


class TailQuantileNetwork(QuantileNetwork):
    """Quantiles of each action's return, and the action with the best of their tails.

    Attributes:
        tail: How many quantiles, the lowest, an action is judged by.
    """

    tail: int

    def tail_values(self, quantiles: Tensor) -> Tensor:
        """The CVaR of each action. Shape: [N, quantiles, actions] to [N, actions]."""
        return quantiles[:, : self.tail].mean(dim=1)

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        del deterministic  # exploration is the algorithm's
        return self.tail_values(self(observation)).argmax(dim=1)


class TailQRDQNPolicy(QRDQNPolicy):
    """QRDQNPolicy with one more parameter.

    Args:
        cvar_alpha: Share of the lowest quantiles, above 0 and at most 1.
    """

    quantile_net: TailQuantileNetwork
    quantile_net_target: TailQuantileNetwork

    def __init__(self, *arguments: Any, cvar_alpha: float = 1.0, **named: Any) -> None:
        self.cvar_alpha = cvar_alpha  # the networks are made in the next line
        super().__init__(*arguments, **named)

    def make_quantile_net(self) -> TailQuantileNetwork:
        """One of the two networks."""
        arguments = self._update_features_extractor(self.net_args, features_extractor=None)
        network = TailQuantileNetwork(**arguments).to(self.device)
        network.tail = _tail_count(self.cvar_alpha, self.n_quantiles)
        return network

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "cvar_alpha": self.cvar_alpha}


class TailQRDQN(QRDQN):
    """QR-DQN that acts, and bootstraps, by the CVaR of each action's return."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": TailQRDQNPolicy}
    policy: TailQRDQNPolicy
    quantile_net: TailQuantileNetwork

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """As QRDQN.train, except that the action to bootstrap from has the highest CVaR."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = [self._update(batch_size) for _ in range(gradient_steps)]
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))

    def _update(self, batch_size: int) -> float:
        assert self.replay_buffer is not None
        batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        discounts = batch.discounts if batch.discounts is not None else self.gamma
        with torch.no_grad():
            upcoming = self.quantile_net_target(batch.next_observations)
            chosen = self.quantile_net.tail_values(upcoming).argmax(dim=1, keepdim=True)
            target = batch.rewards + (1 - batch.dones) * discounts * _of_action(upcoming, chosen)
        current = _of_action(self.quantile_net(batch.observations), batch.actions.long())
        loss = quantile_huber_loss(current, target, sum_over_quantiles=True)
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        return float(loss.item())


class TailCritic(Critic):
    """Answers the actor with its lowest quantiles, and everybody else with all of them.

    Attributes:
        tail: How many quantiles, the lowest of all critics together, the actor climbs.
    """

    tail: int

    def forward(self, obs: PyTorchObs, action: Tensor) -> Tensor:
        """Shape: [N, A] to [N, critics, quantiles]; to [N, 1, tail] for the actor."""
        quantiles = super().forward(obs, action)
        if not action.requires_grad:  # from the replay buffer, or for the target
            return quantiles
        # TQC.train takes the mean of what it gets here.
        return quantiles.flatten(1).sort(dim=1).values[:, None, : self.tail]


class TailTQCPolicy(TQCPolicy):
    """TQCPolicy with one more parameter.

    Args:
        cvar_alpha: Share of the lowest quantiles, above 0 and at most 1.
    """

    def __init__(self, *arguments: Any, cvar_alpha: float = 1.0, **named: Any) -> None:
        self.cvar_alpha = cvar_alpha  # the critics are made in the next line
        super().__init__(*arguments, **named)

    def make_critic(self, features_extractor: Any = None) -> TailCritic:
        """One of the critics."""
        arguments = self._update_features_extractor(self.critic_kwargs, features_extractor)
        critic = TailCritic(**arguments).to(self.device)
        critic.tail = _tail_count(self.cvar_alpha, critic.quantiles_total)
        return critic

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "cvar_alpha": self.cvar_alpha}


class TailTQC(TQC):
    """TQC whose actor climbs the CVaR of the return; the critic's targets are TQC's own."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": TailTQCPolicy}


def _tail_count(cvar_alpha: float, n_quantiles: int) -> int:
    return round(cvar_alpha * n_quantiles)


def _of_action(quantiles: Tensor, actions: Tensor) -> Tensor:
    """The quantiles of one action each: [N, quantiles, actions] and [N, 1] to [N, quantiles]."""
    index = actions[..., None].expand(-1, quantiles.shape[1], 1)
    return quantiles.gather(dim=2, index=index).squeeze(dim=2)
