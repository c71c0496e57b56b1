"""Copies of a network for others: torch.export's and ONNX. Nothing of ours ever opens one.

`torch.export.load` executes any pickle that it is given, and an ONNX runtime may load libraries.
"""

import copy
import io
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tradewind.errors import ExportError
from tradewind.policy import GOLDEN_TOLERANCE
from tradewind.settings import Settings
from trainer_service.export.decided import decided_rows

__all__ = ["ONNX_FILE", "PT2_FILE", "CopySettings", "write_copies"]

PT2_FILE: Final = "policy.pt2"
ONNX_FILE: Final = "policy.onnx"


class CopySettings(Settings):
    """Copies of the network that a bundle holds for others, beside policy.pt."""

    pt2: bool = False
    """`policy.pt2`, as torch.export writes it."""

    onnx: bool = False
    """`policy.onnx`; needs the extra `onnx`."""


class _Both(nn.Module):
    """Action and distribution in one call, as a copy gives them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(observation), self.network.distribution(observation)  # type: ignore[operator]


def write_copies(
    network: nn.Module, settings: CopySettings, observations: NDArray[np.float32]
) -> dict[str, bytes]:
    """The files of the copies that are asked for.

    Args:
        network: As build_network assembled it.
        settings: Which ones.
        observations: On which torch.export's program has to give the network's answers. At least
            two.

    Raises:
        ExportError: The network cannot be exported so, or the copy gives other answers.
    """
    if not settings.pt2 and not settings.onnx:
        return {}
    both = _Both(copy.deepcopy(network)).cpu().eval().requires_grad_(False)
    given = torch.from_numpy(observations)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about itself
            program = torch.export.export(
                both, (given[:2],), dynamic_shapes=({0: Dim("batch")},), strict=False
            )
            _check(program, both, given)
            copies = {PT2_FILE: _pt2(program)} if settings.pt2 else {}
            if settings.onnx:
                copies[ONNX_FILE] = _onnx(program)
    except ModuleNotFoundError as missing:
        raise ExportError(
            f"{missing.name} is not installed: pip install 'tradewind[onnx]'"
        ) from None
    except (ExportError, MemoryError):
        raise
    except Exception as problem:  # whatever torch trips over in someone's module
        raise ExportError(f"the network cannot be copied: {problem}") from problem
    return copies


def _pt2(program: ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _onnx(program: ExportedProgram) -> bytes:
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=["observation"],
        output_names=["action", "distribution"],
        verbose=False,
    )
    assert exported is not None
    with TemporaryDirectory() as folder:
        path = Path(folder, ONNX_FILE)
        exported.save(path)
        return path.read_bytes()


def _check(program: ExportedProgram, both: nn.Module, given: Tensor) -> None:
    with torch.inference_mode():
        (found, parameters), (wanted, scores) = program.module()(given), both(given)
    same = [_close(parameters, scores)]
    if wanted.dtype == torch.int64:
        decided = torch.from_numpy(decided_rows(scores.numpy()))
        same.append(torch.equal(found[decided], wanted[decided]))
    else:
        same.append(_close(found, wanted))
    if not all(same):
        raise ExportError("the copy of torch.export gives other answers than the network")


def _close(found: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(found, wanted, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE)
