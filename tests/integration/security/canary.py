"""A package that says so when it is imported, and documents that name it wherever they can."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, Final

__all__ = ["NAME", "PATH", "Canary", "all_spoiled", "each_spoiled", "most_spoiled"]

MODULE: Final = "canary_parts"
PATH: Final = f"{MODULE}:Part"
NAME: Final = "canary"
_GROUP: Final = re.compile(r"group=\"(tradewind\.[a-z_]+)\"")
_PRODUCT: Final = (
    "tradewind",
    "tradewind_cli",
    "orchestrator",
    "trainer_service",
    "inference_service",
    "risk_service",
)
_FORMS: Final[tuple[Any, ...]] = (PATH, NAME, {"kind": PATH})


class Canary(MetaPathFinder):
    """The package in a folder; every door has it announced as an entry point, too.

    Args:
        folder: Where it is installed.
        root: The checkout, whose doors it is announced to.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._sung = folder / "sung"
        self._asked: list[str] = []
        folder.mkdir()
        (folder / f"{MODULE}.py").write_text(
            f"import pathlib\npathlib.Path({str(self._sung)!r}).touch()\nclass Part: ...\n"
        )
        info = folder / "canary-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: canary\nVersion: 1.0\n")
        self.groups = sorted(
            {
                group
                for package in _PRODUCT
                for source in (root / package).rglob("*.py")
                for group in _GROUP.findall(source.read_text())
            }
        )
        lines = [f"[{group}]\n{NAME} = {PATH}\n" for group in self.groups]
        (info / "entry_points.txt").write_text("\n".join(lines))

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Notes who is asked for; finds nothing itself."""
        if fullname.partition(".")[0] == MODULE:
            self._asked.append(fullname)

    @property
    def is_silent(self) -> bool:
        """Whether nobody has imported it, here or in another process, nor tried to."""
        return not self._asked and not self._sung.exists() and MODULE not in sys.modules


def each_spoiled(document: Any) -> Iterator[Any]:
    """Copies of a JSON document in each of which one value, or one key, names the canary."""
    for place in _places(document):
        for value in _FORMS:
            yield _with(document, place, value)
    for place in [(), *_places(document)]:
        copy = parent = json.loads(json.dumps(document))
        for part in place:
            parent = parent[part]
        if isinstance(parent, dict):
            parent |= {NAME: {}, PATH: {}, "kind": PATH}
            yield copy


def most_spoiled(document: Any, value: str, accepts: Callable[[Any], bool]) -> Any:
    """A copy in which as many values name the canary as whoever reads it takes."""
    for place in list(_places(document)):
        changed = _with(document, place, value)
        if accepts(changed):
            document = changed
    return document


def all_spoiled(document: Any, value: str = PATH) -> Any:
    """A copy in which every text names the canary, and every mapping has it as a key."""
    if isinstance(document, Mapping):
        return {key: all_spoiled(item, value) for key, item in document.items()} | {value: {}}
    if isinstance(document, Sequence) and not isinstance(document, str):
        return [all_spoiled(item, value) for item in document]
    return value if isinstance(document, str) else document


def _with(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    copy = parent = json.loads(json.dumps(document))
    for part in place[:-1]:
        if not isinstance(parent, dict | list):
            return copy  # it names the canary by now
        parent = parent[part]
    if isinstance(parent, dict | list):
        parent[place[-1]] = value
    return copy


def _places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(document, Mapping):
        items = document.items()
    elif isinstance(document, list):
        items = list(enumerate(document))[:2]  # the others are of the same kind
    for key, value in items:
        yield (*at, key)
        yield from _places(value, (*at, key))
