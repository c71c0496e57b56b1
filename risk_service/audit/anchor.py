"""The anchor: up to where the trail has been checked, and where each account's state stands in it.

It lies beside the journal, out of reach of who has the database alone. It is written whenever the
journal is cut back and before it begins anew: an empty journal and the anchor end at the same
decision, and so does the database.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from risk_service.audit.chain import Head
from tradewind.errors import StorageError
from tradewind.files import read_file
from tradewind.process.durable import replace_file

__all__ = ["Anchor", "anchor_path"]

_FORMAT_VERSION: Final = 1
_MAX_BYTES: Final = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Anchor:
    """What was known of a trail when its journal was last cut back.

    Attributes:
        database_id: Identity of the database.
        head: The end of the trail.
        places: Where the last decision of each account stands that has left it with state.
    """

    database_id: str
    head: Head
    places: Mapping[str, Head]

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Reads an anchor; None where there is none, as after an upgrade.

        Raises:
            StorageError: It cannot be read, or is not what was written.
        """
        try:
            values = json.loads(read_file(path, _MAX_BYTES))
            content = values["content"]
            if values["sha256"] != _digest(content) or content["version"] != _FORMAT_VERSION:
                raise ValueError("its digest or its version is another one")
            places = {name: Head(*place) for name, place in content["places"].items()}
            return cls(content["database_id"], Head(*content["head"]), places)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise StorageError(f"cannot read {path}: {problem.strerror}") from None
        except (ValueError, LookupError, TypeError, AttributeError) as problem:
            raise StorageError(
                f"{path} is damaged ({problem}); without it, a start checks the whole trail: move "
                "it away once you know what happened to it"
            ) from None

    def save(self, path: Path) -> None:
        """Replaces the anchor at `path`; durable when it returns.

        Raises:
            StorageError: It cannot be written.
        """
        content = {
            "version": _FORMAT_VERSION,
            "database_id": self.database_id,
            "head": [self.head.sequence, self.head.row_hash],
            "places": {
                name: [place.sequence, place.row_hash] for name, place in self.places.items()
            },
        }
        try:
            text = json.dumps({"content": content, "sha256": _digest(content)})
            replace_file(path, text.encode(), mode=0o600)
        except OSError as problem:
            raise StorageError(f"cannot write {path}: {problem.strerror}") from None


def anchor_path(journal: Path) -> Path:
    """Where the anchor of a journal lies."""
    return journal.with_name(journal.name + ".anchor")


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
