"""A network's answers depend on the observation alone: no operation in place changes a weight.

What is written in place is followed back, through views of it, to where it came from. That may be
the observation or what the network has calculated; a weight or a constant would differ at the next
call, and with it every answer.
"""

import re
from collections.abc import Iterator
from typing import Final

import torch

from tradewind.policy.script.faults import forbidden

__all__ = ["check_stateless"]

_HOLDS_TENSORS: Final = re.compile(r"Tensor|Any|__torch__")
# Their schemas do not say it, but they update running statistics when they train.
_TRAINED: Final = {"aten::batch_norm": (3, 5), "aten::instance_norm": (3, 5)}


def check_stateless(method: str, graph: torch.Graph) -> None:
    """Refuses a frozen graph that changes what it was loaded with.

    Args:
        method: Its name.
        graph: Its graph, with the weights as constants.

    Raises:
        BundleRuntimeError: It does, or nothing shows that it does not.
    """
    carried: dict[str, list[torch.Value]] = {}
    nodes = list(_nodes(graph, carried))
    own = {value.debugName() for value in graph.inputs()}
    for node in nodes:
        if node.kind() == "prim::SetAttr":
            raise forbidden(node.kind(), method, "a network keeps no state")
        if node.kind() in _TRAINED and not _leaves_statistics(node):
            raise forbidden(node.kind(), method, "it learns, and a network keeps no state")
        for place, argument in enumerate(_arguments(node)):
            alias = argument.alias_info
            if alias is None or not alias.is_write:
                continue
            if _is_kept(list(node.inputs())[place], own, carried):
                raise forbidden(
                    node.kind(),
                    method,
                    "it changes a weight in place, and a network keeps no state",
                )


def _nodes(
    block: torch.Graph | torch.Block, carried: dict[str, list[torch.Value]]
) -> Iterator[torch.Node]:
    """Every node, inner ones too; notes where the inputs of inner blocks may come from."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            sources = [*node.inputs(), *(out for each in node.blocks() for out in each.outputs())]
            for value in inner.inputs():
                carried[value.debugName()] = sources
            yield from _nodes(inner, carried)


def _leaves_statistics(node: torch.Node) -> bool:
    inputs = list(node.inputs())
    statistics, training = (inputs[place] for place in _TRAINED[node.kind()])
    constant = training.node().kind() == "prim::Constant" and not training.toIValue()
    return constant or isinstance(statistics.type(), torch.NoneType)


def _schema(node: torch.Node) -> torch.FunctionSchema | None:
    text = node.schema()
    return torch._C.parse_schema(text) if text.startswith(("aten::", "prim::")) else None


def _arguments(node: torch.Node) -> list[torch.Argument]:
    schema = _schema(node)
    return [] if schema is None else list(schema.arguments)


def _is_kept(start: torch.Value, own: set[str], carried: dict[str, list[torch.Value]]) -> bool:
    """Whether a value may be, or be a view of, what the network was loaded with."""
    waiting, seen = [start], set()
    while waiting:
        value = waiting.pop()
        name = value.debugName()
        if name in seen or name in own:
            continue
        seen.add(name)
        if name in carried:
            waiting += carried[name]
            continue
        node = value.node()
        if not _HOLDS_TENSORS.search(value.type().annotation_str):
            continue
        if node.kind() in ("prim::Constant", "prim::GetAttr", "prim::Param"):
            return True
        waiting += _sources(node)
    return False


def _sources(node: torch.Node) -> list[torch.Value]:
    """Inputs that a result may be a view of; all of them where the schema does not tell."""
    schema = _schema(node)
    if schema is None:
        return [*node.inputs(), *(out for block in node.blocks() for out in block.outputs())]
    if all(result.alias_info is None for result in schema.returns):
        return []
    return list(node.inputs())
