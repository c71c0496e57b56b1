import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tradewind.errors import LoweringError
from tradewind.policy import TorchScriptNetwork
from tradewind.policy.compiled_network import CompiledNetwork
from tradewind.policy.lowering import lower_network
from trainer_service.export import serialize
from trainer_service.export.modules import (
    GaussianPolicyNetwork,
    GreedyPolicyNetwork,
    ObservationNormalizer,
)

Script = Callable[[nn.Module], bytes]

SHAPE = (3, 2)


def mlp(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 16), *layers)


def normalizer(shape: tuple[int, ...] = SHAPE) -> ObservationNormalizer:
    generator = np.random.default_rng(1)
    variance = generator.uniform(0.1, 4.0, size=shape)
    return ObservationNormalizer(generator.normal(size=shape), variance, 1e-8, 1.5)


class Dueling(nn.Module):
    """Value and advantage streams (Wang et al. 2016, equation 9)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = mlp(nn.ReLU())
        self.value = nn.Linear(16, 1)
        self.advantage = nn.Linear(16, 4)

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=-1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        hidden = self.trunk(obs)
        advantage = self.advantage(hidden)
        values: Tensor = self.value(hidden) + advantage - advantage.mean(dim=1, keepdim=True)
        return values


class Quantiles(nn.Module):
    """Q values as means of 5 quantiles each, as QR-DQN has them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = mlp(nn.ELU(), nn.Linear(16, 15, bias=False))

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        quantiles: Tensor = self.layers(obs)
        return quantiles.view(-1, 5, 3).mean(dim=1)


class Squashed(nn.Module):
    """Actor of SAC: tanh of the mean, scaled to the bounds."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trunk = mlp(nn.ReLU())
        self.mean = nn.Linear(16, 2)
        self.log_std = nn.Linear(16, 2)
        self.register_buffer("low", torch.tensor([-1.0, -2.0]))
        self.register_buffer("high", torch.tensor([1.0, 3.0]))

    def forward(self, obs: Tensor) -> Tensor:
        squashed = torch.tanh(self.distribution(obs)[:, 0])
        return self.low + 0.5 * (squashed + 1.0) * (self.high - self.low)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        hidden = self.trunk(obs)
        return torch.stack([self.mean(hidden), self.log_std(hidden).clamp(-20, 2)], dim=1)


class Arranged(nn.Module):
    """Cuts, joins and reshapes in the ways that leave every part in one piece."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([[0.5, 2.0, -1.0, 4.0, 1.0, 0.1, 3.0, 2.0]]))

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs)[:, 1]

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        flat = obs.reshape(obs.shape[0], -1)
        joined = torch.cat([flat[:, 4:], obs[:, 0], flat[:, -4:]], dim=-1)
        scaled = (1.0 + joined) * self.scale / 3 - 1
        return scaled.clamp(min=-2).to(torch.float32).reshape(obs.size(0), 2, 4)


class Convolving(nn.Module):
    """Convolutions over a part of the observation, normalised, beside the rest of it."""

    def __init__(self, rest: int = 2) -> None:
        super().__init__()
        self.window = 6 - rest
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, 4, 3, stride=2, padding=1),
            nn.BatchNorm1d(4),
            nn.GELU(),
            nn.Conv1d(4, 3, 2, dilation=1, bias=False),
            nn.LayerNorm((3, (self.window + 1) // 2 - 1)),
            nn.Flatten(),
        )
        width = 3 * ((self.window + 1) // 2 - 1) + rest
        self.dense = nn.Sequential(nn.Linear(width, 8), nn.BatchNorm1d(8, affine=False), nn.ReLU6())
        self.eval()
        generator = torch.Generator().manual_seed(3)
        for buffer in (*self.convolutions[1].buffers(), *self.dense[1].buffers()):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        flat = obs.flatten(1)
        series = flat[:, : self.window].unsqueeze(1)
        found = torch.cat([self.convolutions(series), flat[:, self.window :]], dim=1)
        result: Tensor = self.dense(found)
        return result.unsqueeze(-1).squeeze(2).squeeze(1)


def greedy(*layers: nn.Module) -> nn.Module:
    return GreedyPolicyNetwork(normalizer(), mlp(*layers, nn.Linear(16, 3)))


def gaussian(normalizer: nn.Module) -> nn.Module:
    return GaussianPolicyNetwork(
        normalizer,
        mlp(nn.Tanh(), nn.Linear(16, 4)),
        torch.tensor([-0.5, 0.0, 0.25, 1.0]),
        np.array([[-0.1, -np.inf], [-1.0, 0.0]]),
        np.array([[0.1, np.inf], [0.2, 1.0]]),
    )


@pytest.mark.parametrize(
    "module",
    [
        greedy(nn.Tanh(), nn.Linear(16, 16), nn.ReLU()),
        greedy(nn.Sigmoid(), nn.Linear(16, 16), nn.SiLU()),
        greedy(nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.ELU(0.7)),
        greedy(nn.LayerNorm(16), nn.SELU(), nn.Linear(16, 16), nn.Mish()),
        greedy(nn.LayerNorm(16, elementwise_affine=False), nn.Hardtanh(-0.5, 0.7)),
        gaussian(nn.Identity()),
        gaussian(normalizer()),
        Dueling(),
        Quantiles(),
        Squashed(),
        Convolving(),
        Convolving(rest=0),
        Arranged(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_lowered_network_gives_the_answers_of_torchscript(
    script_module: Script, module: nn.Module
) -> None:
    torch.manual_seed(2)  # the same weights in every run
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
    torchscript = TorchScriptNetwork(script_module(module.requires_grad_(False)))
    compiled = CompiledNetwork(lower_network(torchscript, SHAPE))
    observations = np.random.default_rng(2).normal(size=(200, *SHAPE)).astype(np.float32)
    for method in ("act", "distribution"):
        expected, _ = getattr(torchscript, method)(observations)
        found, elapsed = getattr(compiled, method)(observations)
        assert elapsed > 0
        if expected.dtype == np.int64:
            np.testing.assert_array_equal(found, expected, strict=True)
        else:
            np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-5, strict=True)


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    activation=st.sampled_from(
        [nn.Tanh, nn.ReLU, nn.ELU, nn.SiLU, nn.Sigmoid, nn.LeakyReLU, nn.GELU, nn.Softplus]
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_lowered_network_of_any_widths_gives_the_answers_of_torchscript(
    widths: list[int], activation: type[nn.Module], seed: int
) -> None:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    layers.append(nn.Linear(widths[-1], 5))
    module = GreedyPolicyNetwork(normalizer((widths[0],)), nn.Sequential(*layers))
    torchscript = TorchScriptNetwork(serialize(torch.jit.script(module.requires_grad_(False))))
    compiled = CompiledNetwork(lower_network(torchscript, widths[:1]))
    generator = np.random.default_rng(seed)
    observations = generator.normal(scale=3.0, size=(20, widths[0])).astype(np.float32)
    expected, _ = torchscript.distribution(observations)
    found, _ = compiled.distribution(observations)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, strict=True)
    actions, _ = compiled.act(observations)
    np.testing.assert_array_equal(actions, found.argmax(axis=1))


class Refused(nn.Module):
    """A network whose distribution is not lowered."""

    def forward(self, obs: Tensor) -> Tensor:
        return obs.flatten(1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return self.refused(obs.flatten(1))

    def refused(self, flat: Tensor) -> Tensor:
        raise NotImplementedError


class Branching(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        if flat.sum() > 0:
            flat = flat + 1
        return flat


class Sized(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat * flat.shape[0]


class Mixing(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat - flat.mean(dim=0, keepdim=True)


class Regrouping(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat.reshape(-1, 3)


class Swapping(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat.reshape(3, -1)


class Random(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat + torch.rand_like(flat)


class InPlace(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat.relu_()


class Scaled(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return torch.add(flat, flat, alpha=2)


class Strided(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat.reshape(-1, 3, 2)[:, :, 0]


class Skipping(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat[:, ::2]


class Cutting(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat[1:]


class Doubled(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat.double().tanh().float()


class Promoted(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat.double()


class Indexing(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat.argmax(dim=1) + 1


class Broadcasting(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return flat.reshape(-1, 3, 2) + flat[:, :2].reshape(-1, 1, 2)


class Shaped(Refused):
    constants: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("constants", torch.ones(4, 6))

    def refused(self, flat: Tensor) -> Tensor:
        return flat + self.constants


class Layer(Refused):
    """One layer that is not lowered."""

    def __init__(self, layer: nn.Module, *shape: int) -> None:
        super().__init__()
        self.layer = layer
        self.shape = [-1, *shape]

    def refused(self, flat: Tensor) -> Tensor:
        result: Tensor = self.layer(flat.reshape(self.shape))
        return result


class BatchNormalizing(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        result: Tensor = torch.batch_norm(flat, None, None, None, None, True, 0.1, 1e-5, False)
        return result


class BatchBranching(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        if flat.shape[0] > 3:
            flat = flat * 2
        return flat


class Stacked(Refused):
    def refused(self, flat: Tensor) -> Tensor:
        return torch.stack([flat, flat], dim=2)


@pytest.mark.parametrize(
    ("module", "cause"),
    [
        (Branching(), "aten::sum is not known"),
        (Sized(), "aten::mul.Scalar with what is no float32 constant"),
        (Mixing(), "aten::mean.dim over dimension 0"),
        (Regrouping(), r"aten::reshape rows of shape \(6,\) to \[3\]"),
        (Swapping(), "aten::reshape what comes first is not the batch"),
        (Random(), "aten::rand_like is not known"),
        (InPlace(), "aten::relu_ is not known"),
        (Scaled(), "aten::add.Tensor with alpha 2"),
        (Strided(), "aten::select.int along dimension 2"),
        (Skipping(), r"aten::slice.Tensor \[None:None:2\] of rows of shape \(6,\)"),
        (Cutting(), "aten::slice.Tensor over dimension 0"),
        (Doubled(), "aten::tanh of what is no float32 tensor"),
        (Promoted(), "the result is neither float32 nor an argmax"),
        (Indexing(), "aten::add.Scalar of what is no float32 tensor"),
        (Broadcasting(), r"aten::add.Tensor rows of shapes \(3, 2\) and \(1, 2\)"),
        (Shaped(), r"constants of shape \(4, 6\) meet rows of shape \(6,\)"),
        (BatchNormalizing(), "aten::batch_norm over the batch"),
        (BatchBranching(), "aten::gt.int of the batch size"),
        (Layer(nn.GELU("tanh"), 6), "aten::gelu approximated by tanh"),
        (Layer(nn.Softplus(beta=2.0), 6), "aten::softplus with beta 2.0"),
        (Layer(nn.Conv1d(2, 2, 1, groups=2), 2, 3), r"aten::conv1d .* kernels \(2, 1, 1\)"),
        (Layer(nn.Conv1d(1, 300, 3, padding=200), 1, 6), "aten::conv1d of .*: too large"),
        (Layer(nn.MaxPool1d(2), 1, 6), "aten::max_pool1d is not known"),
        (Stacked(), r"aten::stack rows of shapes .* along 2"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_network_with_another_operation_is_refused_by_its_name(
    script_module: Script, module: nn.Module, cause: str
) -> None:
    network = TorchScriptNetwork(script_module(module))
    with pytest.raises(LoweringError, match=cause):
        lower_network(network, SHAPE)


class TwoArguments(Refused):
    @torch.jit.export
    def distribution(self, obs: Tensor, scale: float = 2.0) -> Tensor:
        return obs.flatten(1) * scale


def test_network_with_a_second_argument_is_refused(script_module: Script) -> None:
    network = TorchScriptNetwork(script_module(TwoArguments()))
    with pytest.raises(LoweringError, match="2 arguments and 1 results"):
        lower_network(network, SHAPE)
