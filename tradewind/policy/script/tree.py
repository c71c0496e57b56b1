"""The tree of an archive's code, and what its nodes stand for."""

import ast
from collections.abc import Iterator
from typing import Final, TypeGuard

from tradewind.policy.script.faults import forbidden, unloadable

__all__ = ["arguments_of_range", "dotted", "is_own", "is_stored", "is_warning", "parse", "place_of"]

_DEEPEST: Final = 400
_MOST_NODES: Final = 300_000
_WRITTEN: Final = """
    AnnAssign Assign Attribute Call ClassDef Constant Del Delete Dict Expr For FunctionDef If List
    Load Module Name Pass Return Store Subscript Tuple USub UnaryOp While arg arguments keyword
"""
_NODES: Final = frozenset(_WRITTEN.split())
_CUSTOM: Final = "__torch__.torch.classes"


def parse(name: str, source: bytes) -> ast.Module:
    """The tree of a record of code, which has the nodes that TorchScript writes and no others.

    Raises:
        BundleRuntimeError: It has others, is too large or too deep, or is no code.
    """
    try:
        tree = ast.parse(source.decode("utf-8"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise unloadable(f"{name} cannot be read as code: {type(problem).__name__}") from None
    count, level = 0, [tree.body]
    for _ in range(_DEEPEST):
        below: list[list[ast.AST]] = []
        for nodes in level:
            for node in nodes:
                count += 1
                if type(node).__name__ not in _NODES:
                    raise forbidden(
                        type(node).__name__, place_of(name, node), "TorchScript writes none"
                    )
                below.append(list(ast.iter_child_nodes(node)))
        if not below:
            return tree
        if count > _MOST_NODES:
            break
        level = below  # type: ignore[assignment]
    raise unloadable(f"{name} is too large or too deep")


def place_of(record: str, node: ast.AST) -> str:
    """`RECORD:LINE`, for a message."""
    return f"{record}:{getattr(node, 'lineno', '?')}"


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of names; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def is_own(name: str) -> bool:
    """Whether a chain of names stands for something of the archive's own code."""
    return name.startswith("__torch__.") and not f"{name}.".startswith(f"{_CUSTOM}.")


def is_warning(node: ast.stmt) -> bool:
    """Whether a statement does nothing but warn."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and dotted(node.value.func) == "torch.warn"
    )


def is_stored(node: ast.AST) -> TypeGuard[ast.Name]:
    """Whether a node is a name that is given a value, or deleted."""
    return isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)


def arguments_of_range(node: ast.AST) -> Iterator[ast.AST]:
    """The bounds of a loop over `range`; nothing of any other."""
    if isinstance(node, ast.Call) and dotted(node.func) == "range":
        yield from node.args
