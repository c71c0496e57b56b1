"""Where a file of bars comes from, kept in the file itself."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Self

__all__ = ["PROVENANCE_KEY", "Provenance"]

PROVENANCE_KEY: Final = b"tradewind.provenance"
"""Key among the metadata of a Parquet file's schema; the value is JSON."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where bars come from.

    Attributes:
        name: What was fetched, as `tradewind data fetch` takes it.
        source: The package and its version, or the exchange.
        digest: SHA-256 of the package; "" for an exchange.
        member: Which files of the package, or which market of the exchange.
        licence: SPDX identifier; "" where nothing says one.
        made: What was done with them.
    """

    name: str
    source: str
    digest: str
    member: str
    licence: str
    made: str

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def of_metadata(cls, metadata: Mapping[bytes, bytes] | None) -> Self | None:
        """What the metadata of an Arrow schema say; None where they say nothing of ours."""
        text = (metadata or {}).get(PROVENANCE_KEY)
        if text is None:
            return None
        try:
            values = json.loads(text)
            return cls(**{name: str(values[name]) for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        licence = f", licence {self.licence}" if self.licence else ""
        digest = f", SHA-256 {self.digest[:12]}…" if self.digest else ""
        return f"{self.member} of {self.source}{licence}{digest}"
