"""What made a training fail, said so that its user knows what to do."""

import errno

import torch

from tradewind.errors import RiskPolicyError, TradewindError
from trainer_service.redaction import redact_settings

__all__ = ["causes_of", "describe_failure"]

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def describe_failure(problem: BaseException, memory_limit_mb: int | None) -> str:
    """Says why a training failed.

    Args:
        problem: What it raised.
        memory_limit_mb: What it was allowed to allocate, in MiB; None for no limit.
    """
    if isinstance(problem, RiskPolicyError):  # changed since the job was accepted
        problem = redact_settings(problem, "risk_config.policy_yaml", "the risk policy")
    causes = causes_of(problem)
    # A note says where the trained model is kept.
    notes: tuple[str, ...] = tuple(getattr(problem, "__notes__", ()))
    said = "; ".join((str(problem) or type(problem).__name__, *notes))
    if any(map(_is_disk_full, causes)):
        return f"the disk is full, or its quota is used up: {said}"
    if any(map(_is_out_of_memory, causes)):
        allowed = "of the machine" if memory_limit_mb is None else "it may use"
        limit = "" if memory_limit_mb is None else f" (memory_limit_mb is {memory_limit_mb})"
        return f"the training ran out of the memory {allowed}{limit}: {said}"
    if isinstance(problem, TradewindError):
        return said
    return f"{type(problem).__name__}: {said}"


def causes_of(problem: BaseException | None) -> list[BaseException]:
    """An exception and what it was raised from, or in the handling of, the latest first."""
    chain: list[BaseException] = []
    while problem is not None and problem not in chain:
        chain.append(problem)
        problem = problem.__cause__ or problem.__context__
    return chain


def _is_disk_full(problem: BaseException) -> bool:
    return isinstance(problem, OSError) and problem.errno in _NO_SPACE


def _is_out_of_memory(problem: BaseException) -> bool:
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(problem, OSError):
        return problem.errno == errno.ENOMEM
    # torch has no class of its own for the memory of the processor.
    return isinstance(problem, RuntimeError) and "can't allocate memory" in str(problem)
