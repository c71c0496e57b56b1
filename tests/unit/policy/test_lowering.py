import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.reading import numpy_reader
from tradewind.bundle import Graph, read_weights, write_weights
from tradewind.policy import TorchScriptNetwork, compile_declared
from tradewind.policy.compiled_network import CompiledNetwork
from tradewind.policy.lowering import declare_network, lower_network
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


MODULES = [
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
]


def reset(module: nn.Module) -> nn.Module:
    """The same weights in every run."""
    torch.manual_seed(2)
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
    return module.requires_grad_(False)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_lowered_network_gives_the_answers_of_torchscript(
    script_module: Script, module: nn.Module
) -> None:
    torchscript = TorchScriptNetwork(script_module(reset(module)))
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


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_declared_network_from_its_files_gives_the_lowered_ones_bits_and_numpy_the_same(
    script_module: Script, tmp_path: Path, module: nn.Module
) -> None:
    torchscript = TorchScriptNetwork(script_module(reset(module)))
    lowered = CompiledNetwork(lower_network(torchscript, SHAPE))
    graph, weights = declare_network(torchscript, SHAPE)
    file = tmp_path / "policy.safetensors"
    file.write_bytes(write_weights(weights))
    text = graph.model_dump_json()
    read = Graph.model_validate_json(text)
    tensors = read_weights(file.read_bytes(), read.tensors(SHAPE))
    declared = CompiledNetwork(compile_declared(read, tensors, SHAPE))
    observations = np.random.default_rng(2).normal(size=(200, *SHAPE)).astype(np.float32)

    reader: dict[str, Any] = {}
    exec(numpy_reader(), reader)
    numpy_s = reader["act"](json.loads(text), reader["read_safetensors"](file), observations)

    for method, by_numpy in zip(("act", "distribution"), numpy_s, strict=True):
        expected, _ = getattr(lowered, method)(observations)
        found, _ = getattr(declared, method)(observations)
        np.testing.assert_array_equal(found, expected, strict=True)
        np.testing.assert_allclose(by_numpy, expected, rtol=0.0, atol=1e-5, strict=True)


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
