"""Munchausen DQN: an algorithm from outside, with a loss, parameters and an exporter of its own.

It adds to each reward a share of the logarithm of how likely the action was under the policy
softmax(Q / temperature), and learns the value of that policy (Vieillard, Pietquin & Geist,
Munchausen Reinforcement Learning, 2020).
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import stable_baselines3
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from tradewind.bundle import Distribution
from trainer_service.algorithms.built_in.dqn import DQN
from trainer_service.export import GreedyPolicyNetwork, flat_sequence

_SMALLEST_LOG = -1.0  # of a probability, as the paper clips it


class MunchausenModel(stable_baselines3.DQN):
    """DQN of Stable-Baselines3 with another target."""

    def __init__(
        self, *arguments: Any, temperature: float = 0.03, share: float = 0.9, **others: Any
    ) -> None:
        self.temperature, self.share = temperature, share
        super().__init__(*arguments, **others)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """As DQN.train, with the Munchausen target."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = [self._update(batch_size) for _ in range(gradient_steps)]
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))

    def _update(self, batch_size: int) -> float:
        assert self.replay_buffer is not None
        batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        actions = batch.actions.long()
        discounts = self.gamma if batch.discounts is None else batch.discounts
        with torch.no_grad():
            likely = self._log_policy(self.q_net_target(batch.observations)).gather(1, actions)
            bonus = self.share * self.temperature * likely.clamp(_SMALLEST_LOG, 0.0)
            upcoming = self.q_net_target(batch.next_observations)
            value = self.temperature * torch.logsumexp(upcoming / self.temperature, 1, keepdim=True)
            target = batch.rewards + bonus + (1 - batch.dones) * discounts * value
        current = self.q_net(batch.observations).gather(1, actions)
        loss = functional.smooth_l1_loss(current, target)
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        return float(loss.item())

    def _log_policy(self, q_values: Tensor) -> Tensor:
        return functional.log_softmax(q_values / self.temperature, dim=1)


class OverTemperature(nn.Module):
    """Q values to logits."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, q_values: Tensor) -> Tensor:
        """Shape: [N, actions] to [N, actions]."""
        return q_values / self.temperature


class MunchausenDQN(DQN):
    """What a configuration calls `munchausen_dqn:MunchausenDQN`, or M-DQN where it is installed."""

    name = "M-DQN"
    model_class = MunchausenModel
    types: ClassVar[Mapping[str, Any]] = {
        "temperature": Annotated[float, Field(gt=0.0, le=10.0)],
        "share": Annotated[float, Field(ge=0.0, le=1.0)],
    }

    def export(self, model: Any, normalizer: nn.Module) -> tuple[nn.Module, Distribution]:
        """The softmax policy that it learns the value of: a stochastic action is drawn from it."""
        logits = OverTemperature(model.temperature)
        layers = flat_sequence(model.q_net.features_extractor, model.q_net.q_net, logits)
        return GreedyPolicyNetwork(normalizer, layers), Distribution(kind="categorical_logits")

    def action_scores(self, model: Any, inputs: Tensor) -> Tensor:
        """Logarithms of probabilities, as the model calculates them."""
        scores: Tensor = model._log_policy(model.q_net(inputs))
        return scores
