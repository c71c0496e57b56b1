"""The declared network of a bundle of format 2: a list of operations, each with its shape.

Nothing in it can be executed: a reader looks each operation up in its own, closed set. The numbers
are in policy.safetensors, where a tensor is called `<operation>.<role>`; the graph alone says which
there are and how they are shaped.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import Field

from tradewind.bundle.operations import (
    MOST_OPERATIONS,
    Argmax,
    Constant,
    Convolution,
    Name,
    Node,
    TensorSpec,
)
from tradewind.settings import Settings

__all__ = ["OBSERVATION", "Graph"]

OBSERVATION: Final = "observation"
"""What an operation calls the observation."""

_MOST_NUMBERS: Final = 1 << 24  # of all results for one observation: 64 MB
_MOST_WEIGHTS: Final = 1 << 26  # of all operations, convolutions as full matrices: 256 MB


class Graph(Settings):
    """What turns an observation into an action and its distribution."""

    nodes: tuple[Node, ...] = Field(min_length=1, max_length=MOST_OPERATIONS)
    """The operations, in an order in which each uses only those before it."""

    action: Name
    """The result that is the action in the mode of the distribution."""

    distribution: Name
    """The result that holds the distribution's parameters."""

    def check(
        self,
        observation: tuple[int, ...],
        action: tuple[int, ...],
        choices: int | None,
        distribution: tuple[int, ...],
    ) -> None:
        """Compares the graph with the spaces that it is for.

        Args:
            observation: Shape of an observation.
            action: Shape of an action.
            choices: How many there are; None where they are no choice.
            distribution: Shape of the distribution's parameters.

        Raises:
            ValueError: It contradicts them or itself, or is too large; the message says where.
        """
        shapes = self.shapes(observation)
        for what, name, shape in (
            ("action", self.action, action),
            ("distribution", self.distribution, distribution),
        ):
            if shapes.get(name) != shape:
                raise ValueError(
                    f"graph: {what} is {name!r} of shape {shapes.get(name)}, but the spaces need "
                    f"{shape}"
                )
        chosen = next((node for node in self.nodes if node.name == self.action), None)
        of = shapes[chosen.input] if isinstance(chosen, Argmax) else None
        if of != (None if choices is None else (choices,)):
            raise ValueError(f"graph: action {self.action!r} does not fit the action space")
        for node in self.nodes:
            if isinstance(node, Argmax) and node.name != self.action:
                raise ValueError(f"graph: {node.name!r} is an argmax, but not the action")
        used = {node.name for name in (self.action, self.distribution) for node in self.up_to(name)}
        unused = [node.name for node in self.nodes if node.name not in used]
        if unused:
            raise ValueError(f"graph: {unused[0]!r} leads to no answer")

    def shapes(self, observation: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Shape by name, each followed from those before it.

        Raises:
            ValueError: One does not follow, a name is unknown or repeated, or all are too large.
        """
        shapes: dict[str, tuple[int, ...]] = {OBSERVATION: observation}
        numbers = weights = 0
        chosen = {node.name for node in self.nodes if isinstance(node, Argmax)}
        for node in self.nodes:
            if node.name in shapes:
                raise ValueError(f"graph: {node.name!r} is there twice")
            for source in node.sources:
                if source not in shapes or source in chosen:
                    raise ValueError(f"graph: {node.name!r} works on {source!r}, which it cannot")
            sources = [shapes[source] for source in node.sources]
            if not node.is_possible(*sources):
                raise ValueError(
                    f"graph: {node.name!r} ({node.op}) cannot give {list(node.shape)} from "
                    f"{', '.join(str(list(shape)) for shape in sources)}"
                )
            shapes[node.name] = node.shape
            numbers += node.size
            weights += _weights(node, sources)
        if numbers > _MOST_NUMBERS or weights > _MOST_WEIGHTS:
            raise ValueError(
                f"graph: {numbers} numbers and {weights} weights; {_MOST_NUMBERS} and "
                f"{_MOST_WEIGHTS} are allowed"
            )
        return shapes

    def tensors(self, observation: tuple[int, ...]) -> dict[str, TensorSpec]:
        """What policy.safetensors must hold: this, and nothing else.

        Args:
            observation: Shape of an observation; the graph was checked with it.
        """
        shapes = self.shapes(observation)
        bounds = self._bounds()
        return {
            f"{node.name}.{role}": spec._replace(infinite=node.name in bounds)
            for node in self.nodes
            for role, spec in node.tensors(*(shapes[source] for source in node.sources)).items()
        }

    def up_to(self, name: str) -> Iterator[Node]:
        """The operations that a result needs, in order."""
        needed = {name}
        found: list[Node] = []
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.sources)
                found.append(node)
        return reversed(found)

    def _bounds(self) -> set[str]:
        """Constants that only bound others, which may be infinite."""
        constants = {node.name for node in self.nodes if isinstance(node, Constant)}
        for node in self.nodes:
            if node.op not in ("minimum", "maximum"):
                constants.difference_update(node.sources)
        return constants - {self.action, self.distribution}


def _weights(node: Node, sources: Sequence[tuple[int, ...]]) -> int:
    """Numbers that an operation multiplies by, once it is compiled."""
    if isinstance(node, Convolution):
        return node.size * math.prod(sources[0])
    return sum(math.prod(spec.shape) for spec in node.tensors(*sources).values())
