"""Networks of tests, as an archive holds them."""

import io

import torch
from torch import nn


def script(module: nn.Module) -> bytes:
    """The archive that torch writes of a network that it has scripted."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()
