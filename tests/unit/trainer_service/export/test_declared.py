"""The declared network of an export is proved against the script, or not published."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.scripting import script
from tradewind.bundle import BoxSpace, BundleDraft
from tradewind.policy import CompiledNetwork, TorchScriptNetwork, compile_declared
from trainer_service.export import declare_export


class Softmax(nn.Module):
    """What no graph can declare."""

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return torch.softmax(obs, dim=1)


@pytest.mark.parametrize("policy", ["tiny-dqn", "tiny-sac"])
def test_declared_export_is_proved_and_one_of_other_weights_is_not(
    released_draft: Callable[..., BundleDraft], caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    draft = released_draft(policy)
    network = TorchScriptNetwork(draft.policy_pt)
    declared = declare_export(network, draft.obs_space.shape)
    assert declared is not None
    shape = (50, *draft.obs_space.shape)
    held_out = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    proof: tuple[Any, ...] = (network, draft.obs_space, draft.golden, held_out)

    assert declared.is_proved(*proof)
    assert not caplog.records

    weights = {name: array * np.float32(1.001) for name, array in declared.weights.items()}
    compiled = CompiledNetwork(compile_declared(declared.graph, weights, draft.obs_space.shape))
    assert not replace(declared, network=compiled).is_proved(*proof)
    assert "differs from TorchScript" in caplog.text


def test_network_that_no_graph_declares_is_left_to_torchscript_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = TorchScriptNetwork(script(Softmax()))
    assert declare_export(network, BoxSpace(shape=(3,)).shape) is None
    assert "no graph can declare the network: aten::softmax.int is not known" in caplog.text
