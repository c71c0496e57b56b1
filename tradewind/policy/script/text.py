"""The rule for an archive's code: Python's grammar cut down to what TorchScript writes.

The code that torch gets is what `ast.unparse` makes of the tree that was checked, so there is no
second reading of the file's own bytes.
"""

import ast
import re
from collections.abc import Callable, Mapping
from typing import Final

from tradewind.policy.script.allowed import ATEN, BUILTINS, MAGIC_METHODS, PRIM, TYPES
from tradewind.policy.script.faults import forbidden
from tradewind.policy.script.tree import (
    arguments_of_range,
    dotted,
    is_own,
    is_stored,
    is_warning,
    parse,
    place_of,
)

__all__ = ["checked_sources"]

_LONGEST_RANGE: Final = 100_000
_ROOTS: Final = frozenset(("torch", "ops", "CONSTANTS", "__torch__"))
_RESERVED: Final = _ROOTS | BUILTINS | {"fork", "awaitable", "print"}
_ALWAYS: Final = frozenset(("forward", "distribution"))
_CONSTANT: Final = re.compile(r"c\d{1,9}")
_MEMBER: Final = re.compile(r"\w{1,200}")


def checked_sources(
    sources: Mapping[str, bytes], is_operation: Callable[[str], bool], *, loops: bool
) -> dict[str, bytes]:
    """Checks all code of an archive and gives it as it is to be loaded.

    Args:
        sources: Contents of each record of code.
        is_operation: Whether torch has an operation of that name. A method that is called like one
            could stand for it, as what a value is, the text does not tell.
        loops: Whether `while` is allowed: it may never end, so only where something ends it.

    Raises:
        BundleRuntimeError: The code does what no policy may, or cannot be read.
    """
    trees = {name: parse(name, source) for name, source in sources.items()}
    methods: set[str] = set(_ALWAYS)
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                if node.name not in ATEN and node.name not in _ALWAYS and is_operation(node.name):
                    raise forbidden(
                        f"a method named {node.name}",
                        place_of(name, node),
                        "torch has such an operation",
                    )
                methods.add(node.name)
    checked = {}
    for name, tree in trees.items():
        _Checker(name, methods, loops=loops).check(tree)
        checked[name] = (ast.unparse(tree) + "\n").encode()
    return checked


class _Checker:
    """Walks one record of code with a place to name."""

    def __init__(self, record: str, methods: set[str], *, loops: bool) -> None:
        self._record = record
        self._methods = methods
        self._loops = loops
        self._where = ""
        self._functions: set[str] = set()

    def check(self, tree: ast.Module) -> None:
        """Checks classes and functions; nothing else stands at the top."""
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self._class(node)
            elif isinstance(node, ast.FunctionDef):
                self._function(node, "")
            else:
                raise self._refusal(type(node).__name__, node, "it stands outside a method")

    def _refusal(self, operation: str, node: ast.AST, why: str = "") -> Exception:
        method = f" in {self._where}" if self._where else ""
        return forbidden(operation, place_of(self._record, node) + method, why)

    def _class(self, node: ast.ClassDef) -> None:
        self._where = node.name
        if node.decorator_list or node.keywords:
            raise self._refusal(f"class {node.name}", node, "it has a decorator or a keyword")
        for base in node.bases:
            self._type(base)
        for item in node.body:
            self._where = node.name
            if isinstance(item, ast.FunctionDef):
                self._function(item, f"{node.name}.")
            elif isinstance(item, ast.AnnAssign):
                self._target(item.target)
                self._type(item.annotation)
                if item.value is not None:
                    self._plain(item.value)
            elif isinstance(item, ast.Assign):
                self._class_assignment(item)
            elif not isinstance(item, ast.Pass):
                raise self._refusal(type(item).__name__, item, "it stands in a class")

    def _class_assignment(self, item: ast.Assign) -> None:
        """`__parameters__ = ["weight", ]`, or `__annotations__["0"] = a type`."""
        (target,) = item.targets[:1]
        if len(item.targets) == 1 and isinstance(target, ast.Subscript):
            if dotted(target.value) == "__annotations__" and isinstance(target.slice, ast.Constant):
                self._type(item.value)
                return
        elif len(item.targets) == 1 and isinstance(target, ast.Name):
            self._plain(item.value)
            return
        raise self._refusal("an assignment", item, "it stands in a class")

    def _plain(self, node: ast.AST) -> None:
        """Constants, and lists of them."""
        for each in ast.walk(node):
            if not isinstance(
                each,
                ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.UnaryOp | ast.USub | ast.Load,
            ):
                raise self._refusal("a value that is no constant", node, "it stands in a class")

    def _function(self, node: ast.FunctionDef, owner: str) -> None:
        self._where = f"{owner}{node.name}"
        if node.decorator_list:
            raise self._refusal("a decorator", node)
        magic = node.name.startswith("__") and node.name.endswith("__")
        if magic and node.name not in MAGIC_METHODS:
            raise self._refusal(f"the method {node.name}", node, "torch may call it by itself")
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.posonlyargs or arguments.kwonlyargs:
            raise self._refusal("a list of arguments", node)
        for argument in arguments.args:
            self._new_name(argument.arg, argument)
            if argument.annotation is not None:
                self._type(argument.annotation)
        for default in arguments.defaults:
            self._expression(default)
        if node.returns is not None:
            self._type(node.returns)
        self._functions = self._named_functions(node)
        self._block(node.body)

    def _named_functions(self, node: ast.FunctionDef) -> set[str]:
        """Names that stand for a function of the archive all through a method.

        TorchScript writes `_0 = __torch__.torch.nn.functional.softmax`, then `_0(x, 1)`.
        """
        names = [each.id for each in ast.walk(node) if is_stored(each)]
        names += [argument.arg for argument in node.args.args]
        return {
            each.targets[0].id
            for each in ast.walk(node)
            if isinstance(each, ast.Assign)
            and len(each.targets) == 1
            and isinstance(each.targets[0], ast.Name)
            and is_own(dotted(each.value))
            and names.count(each.targets[0].id) == 1
        }

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                self._targets(targets)
                if not (isinstance(targets[0], ast.Name) and targets[0].id in self._functions):
                    self._expression(value)
            case ast.Return(value=value) | ast.Expr(value=value):
                self._optional(value)
            case ast.If(test=test, body=body, orelse=other):
                self._expression(test)
                self._block(body)
                self._block(other)
            case ast.For():
                self._for(node)
            case ast.While():
                self._while(node)
            case ast.Delete(targets=targets):
                self._targets(targets)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self._target(target)
                self._type(annotation)
                self._optional(value)
            case ast.Pass():
                pass
            case _:
                raise self._refusal(type(node).__name__, node, "it stands in a method")

    def _optional(self, node: ast.AST | None) -> None:
        if node is not None:
            self._expression(node)

    def _block(self, body: list[ast.stmt]) -> None:
        for place, statement in enumerate(body):
            if is_warning(statement):  # would write where the process writes; no answer needs it
                body[place] = ast.Pass(lineno=statement.lineno)
            else:
                self._statement(statement)

    def _for(self, node: ast.For) -> None:
        self._target(node.target)
        self._expression(node.iter)
        for bound in arguments_of_range(node.iter):
            if (
                isinstance(bound, ast.Constant)
                and isinstance(bound.value, int)
                and (bound.value > _LONGEST_RANGE and not self._loops)
            ):
                raise self._refusal(f"a loop of {bound.value} rounds", node, "it may never end")
        self._block(node.body)
        self._block(node.orelse)

    def _while(self, node: ast.While) -> None:
        if not self._loops or isinstance(node.test, ast.Constant):
            raise self._refusal("while", node, "it may never end, and nothing here would end it")
        self._expression(node.test)
        self._block(node.body)
        self._block(node.orelse)

    def _targets(self, nodes: list[ast.expr]) -> None:
        for node in nodes:
            self._target(node)

    def _target(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name):
                self._new_name(name, node)
            case ast.Tuple(elts=elements):
                self._targets(elements)
            case _:
                raise self._refusal(
                    f"an assignment to {ast.unparse(node)[:100]}", node, "a network keeps no state"
                )

    def _new_name(self, name: str, node: ast.AST) -> None:
        if name in _RESERVED:
            raise self._refusal(f"the name {name}", node, "it has a meaning of its own")

    def _expression(self, node: ast.AST) -> None:
        match node:
            case ast.Call():
                self._call(node)
            case ast.Attribute():
                self._attribute(node)
            case ast.Name(id=name):
                if name in _ROOTS or name in BUILTINS or name in self._functions:
                    raise self._refusal(name, node, "it is no value")
            case ast.Constant(value=value):
                if value is not None and not isinstance(value, bool | int | float | str):
                    raise self._refusal(f"a constant {type(value).__name__}", node)
            case ast.List() | ast.Tuple() | ast.Subscript() | ast.Dict() | ast.UnaryOp():
                for part in ast.iter_child_nodes(node):
                    if not isinstance(part, ast.expr_context | ast.unaryop):
                        self._expression(part)
            case _:
                raise self._refusal(type(node).__name__, node)

    def _attribute(self, node: ast.Attribute) -> None:
        root = dotted(node).partition(".")[0]
        if root == "CONSTANTS":
            if not (isinstance(node.value, ast.Name) and _CONSTANT.fullmatch(node.attr)):
                raise self._refusal(dotted(node), node)
        elif root in _ROOTS:
            raise self._refusal(dotted(node), node, "an operation is called, and nothing else")
        else:
            self._expression(node.value)

    def _call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name):
            self._call_by_name(node, node.func.id)
            return
        if not isinstance(node.func, ast.Attribute):
            raise self._refusal("a call of what is no name", node)
        name = dotted(node.func)
        root, _, rest = name.partition(".")
        if root == "torch":
            if rest not in ATEN:
                raise self._refusal(f"aten::{rest}", node)
        elif root == "ops":
            space, _, operation = rest.partition(".")
            if operation not in {"aten": ATEN, "prim": PRIM}.get(space, frozenset()):
                raise self._refusal(f"{space}::{operation}", node)
        elif root == "__torch__":
            if not is_own(name):
                raise self._refusal(name, node, "it is no part of the archive")
        elif root == "CONSTANTS" or node.func.attr not in self._methods:
            raise self._refusal(
                f"the method {node.func.attr}", node, "no class of the archive has it"
            )
        else:
            self._expression(node.func.value)
        self._arguments(node)

    def _call_by_name(self, node: ast.Call, name: str) -> None:
        if name in self._functions:
            self._arguments(node)
            return
        if name not in BUILTINS:
            raise self._refusal(name, node)
        if name == "getattr":
            member = node.args[1] if len(node.args) == 2 and not node.keywords else None
            if not (
                isinstance(member, ast.Constant)
                and isinstance(member.value, str)
                and _MEMBER.fullmatch(member.value)
            ):
                raise self._refusal("getattr with no constant name", node)
        if name in ("annotate", "unchecked_cast", "uninitialized") and node.args:
            self._type(node.args[0])
            for argument in node.args[1:]:
                self._expression(argument)
            return
        self._arguments(node)

    def _arguments(self, node: ast.Call) -> None:
        for argument in node.args:
            self._expression(argument)
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self._refusal("**", node)
            self._expression(keyword.value)

    def _type(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name) if name in TYPES:
                return
            case ast.Constant(value=None):
                return
            case ast.Attribute():
                name = dotted(node)
                if is_own(name):
                    return
            case ast.Subscript(value=ast.Name(id=name), slice=index) if name in TYPES:
                for each in index.elts if isinstance(index, ast.Tuple) else (index,):
                    self._type(each)
                return
        raise self._refusal(f"the type {ast.unparse(node)[:100]}", node)
