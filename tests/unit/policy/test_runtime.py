import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tradewind.bundle import BoxSpace, BundleDraft, GoldenSet
from tradewind.policy import TorchScriptNetwork, TorchScriptPolicy

Publish = Callable[[BundleDraft], Path]
Script = Callable[[nn.Module], bytes]


class QValues(nn.Module):
    """Three values of a [3, 2] observation; `distribution` is what the tests vary."""

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return self.values(obs.flatten(1))

    def values(self, flat: Tensor) -> Tensor:
        raise NotImplementedError


class Softmax(QValues):
    def values(self, flat: Tensor) -> Tensor:
        return torch.softmax(flat[:, :3], dim=1)


class Cancelling(QValues):
    """The difference of large sums: rounding shows, and it depends on the order of addition."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.hidden = nn.Linear(6, 512).requires_grad_(False)
        self.out = nn.Linear(512, 3).requires_grad_(False)
        self.out.weight.mul_(1e5)
        self.out.weight[:, 256:] = -self.out.weight[:, :256]
        self.hidden.weight[256:] = self.hidden.weight[:256]
        self.hidden.bias[256:] = self.hidden.bias[:256]

    def values(self, flat: Tensor) -> Tensor:
        values: Tensor = self.out(self.hidden(flat))
        return values


class Overflowing(QValues):
    """Finite on the golden observations, not on wider ones."""

    def values(self, flat: Tensor) -> Tensor:
        large = flat[:, :3] * 1e38
        return large - large * 0.5


def draft_of(module: nn.Module, draft: BundleDraft, script: Script) -> BundleDraft:
    policy_pt = script(module)
    network = TorchScriptNetwork(policy_pt)
    observations = draft.golden.observations[:1].clip(
        -1.0, 1.0
    )  # in a batch, TorchScript itself may round otherwise
    golden = GoldenSet(
        observations, network.act(observations)[0], network.distribution(observations)[0]
    )
    return replace(draft, policy_pt=policy_pt, golden=golden)


def test_network_of_known_operations_is_compiled(
    publish: Publish, discrete_draft: BundleDraft, gaussian_draft: BundleDraft
) -> None:
    for draft in (discrete_draft, gaussian_draft):
        policy = TorchScriptPolicy.load_bundle(publish(draft))
        assert (policy.runtime, policy.runtime_reason) == ("compiled", "")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Softmax(), r"not lowered: aten::softmax\.int is not known"),
        (Cancelling(), r"the compiled network differs from TorchScript: observation \d+ gives"),
        (Overflowing(), r"the compiled network differs from TorchScript: observation \d+ gives"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_network_without_proof_is_served_by_torchscript_and_says_why(
    publish: Publish,
    discrete_draft: BundleDraft,
    script_module: Script,
    module: nn.Module,
    reason: str,
) -> None:
    path = publish(draft_of(module, discrete_draft, script_module))
    policies = [TorchScriptPolicy.load_bundle(path) for _ in range(2)]
    for policy in policies:
        assert policy.runtime == "torchscript"
        assert policy.runtime_reason == policies[0].runtime_reason
        golden = policy.golden
        actions, _ = policy.predict_batch(golden.observations)
        np.testing.assert_array_equal(actions, golden.actions)
    assert re.match(reason, policies[0].runtime_reason)


def test_network_that_differs_only_outside_of_its_space_is_compiled(
    publish: Publish, discrete_draft: BundleDraft, script_module: Script
) -> None:
    draft = draft_of(Overflowing(), discrete_draft, script_module)
    bounded = replace(draft, obs_space=BoxSpace(shape=(3, 2), low=-1.0, high=1.0))
    assert TorchScriptPolicy.load_bundle(publish(bounded)).runtime_reason == ""
