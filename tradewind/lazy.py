"""Names of a package that are imported when they are first asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from tradewind.extras import missing_extra

__all__ = ["lazy_names"]


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The module-level `__getattr__` (PEP 562) of a package with heavy parts.

    Args:
        package: The package's `__name__`.
        modules: The module that holds it, by name: relative to the package, or one of `tradewind.`.

    Where an extra of the package is not installed, the import fails with the line that installs it.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        path = modules[name]
        try:
            module = import_module(path if path.startswith("tradewind.") else f"{package}.{path}")
        except ModuleNotFoundError as missing:
            line = missing_extra(missing)
            if line is None:
                raise
            raise ModuleNotFoundError(f"{package}.{name}: {line}", name=missing.name) from missing
        return getattr(module, name)

    return get
