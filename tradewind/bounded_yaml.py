"""YAML from others: composed within bounds, so that no text of a megabyte can hold up its reader.

An alias costs its writer three bytes and its reader a copy of what it stands for; a few levels of
them are more than any memory holds. Brackets nest deeper than the interpreter's stack, and a number
in base sixty (1:1:1:…) takes time that grows with the square of its length.
"""

from typing import Any, Final

import yaml
from yaml.events import AliasEvent, ScalarEvent

__all__ = ["compose_bounded"]

MAX_DEPTH: Final = 64
MAX_NODES: Final = 200_000
MAX_PLAIN_CHARACTERS: Final = 4_096


class _BoundedLoader(yaml.SafeLoader):
    """Counts what it composes, an alias as often as what it stands for."""

    def __init__(self, text: str | bytes) -> None:
        super().__init__(text)
        self._depth = 0
        self._count = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent):
            # One whose anchor is not there yet is unknown, or stands for what it is a part of.
            size = self._sizes.get(str(event.anchor))
            if size is None:
                raise _refusal(
                    event, f"alias {event.anchor!r} stands for nothing, or for what it is part of"
                )
            self._add(size, event)
            return super().compose_node(parent, index)
        if isinstance(event, ScalarEvent) and (event.style is None or event.tag is not None):
            _check_plain(event)
        before = self._count
        self._add(1, event)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _refusal(event, f"nested more than {MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._count - before
        return node

    def _add(self, size: int, event: Any) -> None:
        self._count += size
        if self._count > MAX_NODES:
            raise _refusal(event, f"more than {MAX_NODES} values, those behind aliases counted")


def compose_bounded(text: str | bytes) -> tuple[yaml.Node | None, Any]:
    """The nodes of a YAML document, and the value that they stand for.

    Raises:
        yaml.YAMLError: It is no YAML, is several documents, or exceeds the bounds.
    """
    loader = None
    try:
        loader = _BoundedLoader(text)
        node: yaml.Node | None = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except (ValueError, OverflowError, RecursionError, UnicodeError) as problem:
        # A date such as 2026-13-01, or a number of more digits than Python converts.
        said = "a value cannot be read as the number or the date that it looks like"
        raise yaml.MarkedYAMLError(problem=said) from problem
    finally:
        if loader is not None:
            loader.dispose()
    return node, value


def _check_plain(event: ScalarEvent) -> None:
    if len(event.value) > MAX_PLAIN_CHARACTERS:
        raise _refusal(
            event,
            f"a text without quotes, or with a tag, of more than {MAX_PLAIN_CHARACTERS} characters",
        )


def _refusal(event: Any, problem: str) -> yaml.YAMLError:
    return yaml.composer.ComposerError(None, None, problem, event.start_mark)
