"""What a failed training tells its user."""

import errno

import numpy as np
import pytest
import torch

from tradewind.errors import StorageError, TrainingError
from trainer_service.jobs.failures import describe_failure


def full_disk() -> Exception:
    problem = StorageError("cannot publish to bundles")
    problem.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return problem


def numpy_out_of_memory() -> Exception:
    with pytest.raises(MemoryError) as problem:
        np.zeros(2**60, dtype=np.uint8)
    return problem.value


def torch_out_of_memory() -> Exception:
    with pytest.raises(RuntimeError) as problem:
        torch.empty(2**60, dtype=torch.uint8)
    return problem.value


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (full_disk(), "the disk is full, or its quota is used up: cannot publish to bundles"),
        (MemoryError(), "ran out of the memory it may use (memory_limit_mb is 1024): MemoryError"),
        (numpy_out_of_memory(), "ran out of the memory it may use"),
        (torch_out_of_memory(), "ran out of the memory it may use"),
        (TrainingError("train/loss is nan"), "train/loss is nan"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
    ids=["disk", "memory", "numpy", "torch", "ours", "other"],
)
def test_describe_failure_names_the_cause(problem: Exception, says: str) -> None:
    assert says in describe_failure(problem, 1024)


def test_describe_failure_without_a_limit_speaks_of_the_machine() -> None:
    assert "ran out of the memory of the machine: x" in describe_failure(MemoryError("x"), None)
