"""The networks of each family: what policy_kwargs may be."""

from typing import Annotated, Any, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from tradewind.parts import Named
from tradewind.settings import Settings
from trainer_service.algorithms.extractor import EXTRACTORS, Extractor
from trainer_service.algorithms.layers import ACTIVATIONS, Activation, Layers

__all__ = [
    "ActorCriticSettings",
    "ActorQCriticSettings",
    "ActorQuantileCriticSettings",
    "NetworkSettings",
    "QNetworkSettings",
    "QuantileNetworkSettings",
]

NamedExtractor = Annotated[Extractor, Named(Extractor, EXTRACTORS, inline=True)]
QuantileCount = Annotated[int, Field(ge=1, le=1_000)]
TailShare = Annotated[float, Field(gt=0.0, le=1.0)]


class ActorCriticLayers(Settings):
    """Hidden layers of the actor (pi) and of the critic (vf)."""

    pi: Layers
    """Units of each hidden layer of the actor."""

    vf: Layers
    """Units of each hidden layer of the critic."""


class ActorQCriticLayers(Settings):
    """Hidden layers of the actor (pi) and of each critic (qf)."""

    pi: Layers
    """Units of each hidden layer of the actor."""

    qf: Layers
    """Units of each hidden layer of each critic."""


def _kind_of_layers(value: Any) -> str:
    return "layers" if isinstance(value, list | tuple) else "by_network"


class NetworkSettings(Settings):
    """policy_kwargs that every algorithm takes."""

    # Hidden layers as a list or by network: a family narrows it.
    net_arch: Any = (64, 64)
    """Units of each hidden layer."""

    activation_fn: Activation = "relu"
    """Activation after each hidden layer."""

    features_extractor: NamedExtractor | None = None
    """What stands before the hidden layers; by default nothing does."""

    features_extractor_class: type[BaseFeaturesExtractor] | None = None
    """A class of the user's own instead; in Python alone. It must be one that TorchScript can
    express."""

    features_extractor_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Its arguments."""

    def policy_kwargs(self) -> dict[str, Any]:
        """As Stable-Baselines3 takes it."""
        own = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if not name.startswith("features_extractor")
        }
        own["net_arch"] = _as_lists(self.net_arch)
        own["activation_fn"] = ACTIVATIONS[self.activation_fn]
        if self.features_extractor is not None:
            return {**own, **self.features_extractor.policy_kwargs()}
        if self.features_extractor_class is not None:
            own["features_extractor_class"] = self.features_extractor_class
            own["features_extractor_kwargs"] = dict(self.features_extractor_kwargs)
        return own

    @model_validator(mode="after")
    def _check_extractor(self) -> Self:
        if self.features_extractor_class is not None and self.features_extractor is not None:
            raise ValueError("features_extractor and features_extractor_class exclude each other")
        if self.features_extractor_class is None and self.features_extractor_kwargs:
            raise ValueError("features_extractor_kwargs belong to features_extractor_class")
        return self


class QNetworkSettings(NetworkSettings):
    """policy_kwargs of DQN."""

    net_arch: Layers = (64, 64)
    """Units of each hidden layer."""


class QuantileNetworkSettings(QNetworkSettings):
    """policy_kwargs of QR-DQN."""

    n_quantiles: QuantileCount = 200
    """Quantiles of the return of each action. The loss compares each with each, so its work grows
    with their square."""

    cvar_alpha: TailShare = 1.0
    """Share of them, the lowest, whose mean an action is judged by: its CVaR. With 1 it is the mean
    of all."""

    @model_validator(mode="after")
    def _check_tail(self) -> Self:
        _check_tail(self.cvar_alpha, self.n_quantiles)
        return self


class ActorCriticSettings(NetworkSettings):
    """policy_kwargs of PPO, A2C and TRPO."""

    net_arch: Annotated[
        Annotated[Layers, Tag("layers")] | Annotated[ActorCriticLayers, Tag("by_network")],
        Discriminator(_kind_of_layers),
    ] = (64, 64)
    """Units of each hidden layer, of both networks or of each by name."""

    activation_fn: Activation = "tanh"
    """What stands between the layers."""

    log_std_init: float = 0.0
    """Initial log standard deviation of continuous actions."""

    ortho_init: bool = True
    """Orthogonal initial weights."""

    share_features_extractor: bool = True
    """One extractor for both networks."""


class ActorQCriticSettings(NetworkSettings):
    """policy_kwargs of SAC and TD3."""

    net_arch: Annotated[
        Annotated[Layers, Tag("layers")] | Annotated[ActorQCriticLayers, Tag("by_network")],
        Discriminator(_kind_of_layers),
    ] = (64, 64)
    """Units of each hidden layer, of all networks or of actor and critics by name."""

    n_critics: int = Field(default=2, ge=1, le=100)
    """Critics, of which the lowest estimate counts."""

    share_features_extractor: bool = False
    """One extractor for actor and critics."""


class ActorQuantileCriticSettings(ActorQCriticSettings):
    """policy_kwargs of TQC."""

    n_quantiles: QuantileCount = 25
    """Quantiles that each critic estimates."""

    cvar_alpha: TailShare = 1.0
    """Share of all critics' quantiles, the lowest, whose mean the actor climbs: the CVaR of its
    return. With 1 it is the mean of all."""

    @model_validator(mode="after")
    def _check_tail(self) -> Self:
        _check_tail(self.cvar_alpha, self.n_quantiles * self.n_critics)
        return self


LayersByNetwork: TypeAlias = tuple[int, ...] | ActorCriticLayers | ActorQCriticLayers


def _as_lists(layers: LayersByNetwork) -> list[int] | dict[str, list[int]]:
    if isinstance(layers, tuple):
        return list(layers)
    return {name: list(units) for name, units in layers}


def _check_tail(cvar_alpha: float, n_quantiles: int) -> None:
    if cvar_alpha * n_quantiles < 1.0:
        raise ValueError(f"cvar_alpha {cvar_alpha} of {n_quantiles} quantiles is less than one")
