"""The declared network of an export, which serves, proved to act as the script does."""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tradewind.bundle import (
    BoxSpace,
    GoldenSet,
    Graph,
    Weights,
    read_weights,
    write_weights,
)
from tradewind.errors import BundleError, ExportError, LoweringError
from tradewind.policy import (
    CompiledNetwork,
    TorchScriptNetwork,
    check_golden,
    compile_declared,
    declare_network,
    prove,
)
from trainer_service.export.decided import decided_rows

__all__ = ["DeclaredExport", "declare_export"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class DeclaredExport:
    """A network that a bundle of format 2 declares.

    Attributes:
        graph: Its operations.
        weights: Its tensors.
        network: As it will serve: out of what stands in the files, written and read once.
    """

    graph: Graph
    weights: Weights
    network: CompiledNetwork

    def is_proved(
        self,
        script: TorchScriptNetwork,
        obs_space: BoxSpace,
        golden: GoldenSet,
        observations: NDArray[np.float32],
    ) -> bool:
        """Whether what a server will read acts as the script does; the log says where not.

        The answers are compared on the golden and on random observations, and on all that are
        given: discrete actions have to be the same, but where rounding decides between two that are
        as good as equal, and numbers within 1e-5.

        Args:
            script: The network, proved to act as the model.
            obs_space: One observation.
            golden: Of the bundle.
            observations: Held out.
        """
        try:
            prove(self.network, script, obs_space, golden)
            rows = observations
            if golden.actions.dtype == np.int64:
                rows = observations[decided_rows(script.distribution(observations)[0])]
            answers = GoldenSet(rows, script.act(rows)[0], script.distribution(rows)[0])
            check_golden(self.network, answers, kind="held-out observation")
        except (BundleError, LoweringError) as problem:
            _warn(problem)
            return False
        return True


def declare_export(
    script: TorchScriptNetwork, observation_shape: tuple[int, ...]
) -> DeclaredExport | None:
    """Declares a network.

    Args:
        script: The network.
        observation_shape: Shape of one observation.

    Returns:
        None where no graph can declare it, which the log says: its bundle is then of format 1.

    Raises:
        ExportError: What was written cannot be read.
    """
    try:
        graph, weights = declare_network(script, observation_shape)
    except LoweringError as problem:
        _warn(problem)
        return None
    try:
        graph = Graph.model_validate_json(graph.model_dump_json())
        weights = read_weights(write_weights(weights), graph.tensors(observation_shape))
    except BundleError as problem:
        raise ExportError(f"the declared network cannot be read again: {problem}") from None
    network = CompiledNetwork(compile_declared(graph, weights, observation_shape))
    return DeclaredExport(graph, weights, network)


def _warn(problem: Exception) -> None:
    _LOG.warning(
        "no graph can declare the network: %s. Its bundle is of format 1: TorchScript serves it, "
        "slower and in a sealed process",
        problem,
    )
