"""Export of models of Tradewind's own algorithms, which a model's class tells."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tradewind.bundle import Distribution
from trainer_service import export
from trainer_service.algorithms import ALGORITHMS, Algorithm, find_algorithm

__all__ = ["OWN", "algorithm_of", "build_network", "check_exportable", "verify_policy"]

OWN = {name: find_algorithm(name) for name in ALGORITHMS.names()}


def algorithm_of(model: Any) -> Algorithm:
    """The algorithm that a model is of, or that has learnt to care about tails since."""
    kinds = type(model).__mro__
    return next(
        each
        for each in OWN.values()
        if each.model_class in kinds or type(model) in each.model_class.__mro__
    )


def build_network(model: Any) -> tuple[nn.Module, Distribution]:
    return export.build_network(algorithm_of(model), model)


def check_exportable(model: Any) -> None:
    export.check_exportable(algorithm_of(model), model)


def verify_policy(script: Any, model: Any, observations: NDArray[np.float32]) -> None:
    _, distribution = build_network(model)
    export.verify_policy(script, distribution, algorithm_of(model), model, observations)
