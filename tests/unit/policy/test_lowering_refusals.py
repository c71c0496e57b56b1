from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tradewind.errors import LoweringError
from tradewind.policy import TorchScriptNetwork
from tradewind.policy.lowering import lower_network

Script = Callable[[nn.Module], bytes]

SHAPE = (3, 2)


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
