"""The networks that a bundle holds: normalisation, layers and action post-processing in one."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = [
    "DeterministicPolicyNetwork",
    "GaussianPolicyNetwork",
    "GreedyPolicyNetwork",
    "ObservationNormalizer",
    "QuantileMean",
    "SquashedGaussianPolicyNetwork",
]


class ObservationNormalizer(nn.Module):
    """VecNormalize's observation normalisation, in its float64 arithmetic and thus its bits.

    Args:
        mean: Running mean of the observations. Shape: that of one observation.
        variance: Running variance of the observations. Shape: that of one observation.
        epsilon: Added to the variance.
        clip: Largest magnitude of a normalised value.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        mean: NDArray[np.float64],
        variance: NDArray[np.float64],
        epsilon: float,
        clip: float,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float64)))
        self.register_buffer("scale", torch.from_numpy(np.sqrt(variance + epsilon)))
        self.clip = clip

    def forward(self, observations: Tensor) -> Tensor:
        """Normalises float32 observations. Shape: [N, *shape] to [N, *shape]."""
        normalized = (observations.double() - self.mean) / self.scale
        return normalized.clamp(-self.clip, self.clip).float()


class QuantileMean(nn.Module):
    """Q values as means of the return's quantiles: of all, or of the lowest for the CVaR.

    Args:
        n_quantiles: Quantiles of each action's return.
        n_actions: Actions.
        tail: How many of the quantiles, from the lowest on.
    """

    def __init__(self, n_quantiles: int, n_actions: int, tail: int) -> None:
        super().__init__()
        self.shape = [-1, n_quantiles, n_actions]
        self.tail = tail

    def forward(self, quantiles: Tensor) -> Tensor:
        """Shape: [N, n_quantiles * n_actions] to [N, n_actions]."""
        return quantiles.view(self.shape)[:, : self.tail].mean(dim=1)


class _ActionHead(nn.Module):
    """What turns unbounded numbers into an action.

    Args:
        low: Lowest action. Shape: that of one action.
        high: Highest action. Shape: that of one action.
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("low", torch.from_numpy(low.astype(np.float32)))
        self.register_buffer("high", torch.from_numpy(high.astype(np.float32)))


class _Clip(_ActionHead):
    """Clips to the bounds, which may be infinite."""

    def forward(self, numbers: Tensor) -> Tensor:
        """Shape: [N, A] to [N, *action_shape]."""
        actions = numbers.reshape(numbers.shape[:1] + self.low.shape)
        clipped = torch.minimum(torch.maximum(actions, self.low), self.high)
        # Plus 0, or NaN where the network has overflowed: that must not become a largest order.
        return clipped + (actions - actions)


class _Squash(_ActionHead):
    """Squashes by tanh, then scales [-1, 1] to the bounds as BasePolicy.unscale_action does."""

    def forward(self, numbers: Tensor) -> Tensor:
        """Shape: [N, A] to [N, *action_shape]."""
        actions = numbers.reshape(numbers.shape[:1] + self.low.shape)
        scaled = self.low + 0.5 * (torch.tanh(actions) + 1.0) * (self.high - self.low)
        return scaled + (actions - actions)  # as in _Clip


class GreedyPolicyNetwork(nn.Module):
    """Discrete policy: the action with the highest Q value or logit.

    Args:
        normalizer: Observation to network input.
        layers: Network input to one number per action.
    """

    def __init__(self, normalizer: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.normalizer = normalizer
        self.layers = layers

    def forward(self, observations: Tensor) -> Tensor:
        """Deterministic actions, int64. Shape: [N, *shape] to [N]."""
        return torch.argmax(self.distribution(observations), dim=1)

    @torch.jit.export
    def distribution(self, observations: Tensor) -> Tensor:
        """Q values or logits, float32. Shape: [N, *shape] to [N, actions]."""
        outputs: Tensor = self.layers(self.normalizer(observations))
        return outputs


class GaussianPolicyNetwork(nn.Module):
    """Continuous policy: the mean of a diagonal Gaussian, clipped to the action bounds.

    Args:
        normalizer: Observation to network input.
        layers: Network input to the mean of each action element.
        log_std: Logarithm of the standard deviation of each action element. Shape: [A].
        low: Lowest action, minus infinity where unbounded. Shape: that of one action.
        high: Highest action, infinity where unbounded. Shape: that of one action.
    """

    log_std: Tensor

    def __init__(
        self,
        normalizer: nn.Module,
        layers: nn.Module,
        log_std: Tensor,
        low: NDArray[np.float32],
        high: NDArray[np.float32],
    ) -> None:
        super().__init__()
        self.normalizer = normalizer
        self.layers = layers
        self.register_buffer("log_std", log_std.detach().clone())
        self.head = _Clip(low, high)

    def forward(self, observations: Tensor) -> Tensor:
        """Deterministic actions, float32. Shape: [N, *shape] to [N, *action_shape]."""
        actions: Tensor = self.head(self.layers(self.normalizer(observations)))
        return actions

    @torch.jit.export
    def distribution(self, observations: Tensor) -> Tensor:
        """Mean and log standard deviation, float32. Shape: [N, *shape] to [N, 2, A]."""
        mean: Tensor = self.layers(self.normalizer(observations))
        return torch.stack([mean, self.log_std.expand_as(mean)], dim=1)


class SquashedGaussianPolicyNetwork(nn.Module):
    """Continuous policy: the mean of a diagonal Gaussian, squashed and scaled to the bounds.

    Args:
        normalizer: Observation to network input.
        layers: Network input to what mean and deviation are made from.
        mean: To the mean of each action element.
        log_std: To the logarithm of the standard deviation of each action element.
        log_std_bounds: Its lowest and highest value.
        low: Lowest action, finite. Shape: that of one action.
        high: Highest action, finite. Shape: that of one action.
    """

    def __init__(
        self,
        normalizer: nn.Module,
        layers: nn.Module,
        mean: nn.Module,
        log_std: nn.Module,
        log_std_bounds: tuple[float, float],
        low: NDArray[np.float32],
        high: NDArray[np.float32],
    ) -> None:
        super().__init__()
        self.normalizer = normalizer
        self.layers = layers
        self.mean = mean
        self.log_std = log_std
        self.lowest_log_std, self.highest_log_std = log_std_bounds
        self.head = _Squash(low, high)

    def forward(self, observations: Tensor) -> Tensor:
        """Deterministic actions, float32. Shape: [N, *shape] to [N, *action_shape]."""
        actions: Tensor = self.head(self.mean(self.layers(self.normalizer(observations))))
        return actions

    @torch.jit.export
    def distribution(self, observations: Tensor) -> Tensor:
        """Mean and log standard deviation, unsquashed. Shape: [N, *shape] to [N, 2, A]."""
        latent = self.layers(self.normalizer(observations))
        log_std = self.log_std(latent).clamp(self.lowest_log_std, self.highest_log_std)
        return torch.stack([self.mean(latent), log_std], dim=1)


class DeterministicPolicyNetwork(nn.Module):
    """Continuous policy with no distribution: numbers squashed and scaled to the bounds.

    Args:
        normalizer: Observation to network input.
        layers: Network input to one number, not yet squashed, for each action element.
        low: Lowest action, finite. Shape: that of one action.
        high: Highest action, finite. Shape: that of one action.
    """

    def __init__(
        self,
        normalizer: nn.Module,
        layers: nn.Module,
        low: NDArray[np.float32],
        high: NDArray[np.float32],
    ) -> None:
        super().__init__()
        self.normalizer = normalizer
        self.layers = layers
        self.head = _Squash(low, high)

    def forward(self, observations: Tensor) -> Tensor:
        """Actions, float32. Shape: [N, *shape] to [N, *action_shape]."""
        actions: Tensor = self.head(self.layers(self.normalizer(observations)))
        return actions

    @torch.jit.export
    def distribution(self, observations: Tensor) -> Tensor:
        """The same actions in one row each. Shape: [N, *shape] to [N, A]."""
        return self.forward(observations).flatten(1)
