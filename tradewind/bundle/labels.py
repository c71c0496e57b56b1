"""labels.json in a policy's folder: which version stands behind a name such as `champion`."""

import json
from collections.abc import Mapping
from typing import Final

from tradewind.bundle.faults import BundleFault
from tradewind.bundle.names import BundleVersion, check_label
from tradewind.errors import BundleFormatError, InvalidInputError

__all__ = ["LABELS_FILE", "MAX_LABELS_BYTES", "check_labels", "labels_from_json", "labels_to_json"]

LABELS_FILE: Final = "labels.json"
MAX_LABELS_BYTES: Final = 64 * 1024
_MOST_LABELS: Final = 64  # of a policy; each is a metric and lines of a log


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Gives the labels back, with the version of each.

    Raises:
        InvalidInputError: A label or a version is not allowed, or there are too many.
    """
    if len(labels) > _MOST_LABELS:
        raise InvalidInputError(
            f"{len(labels)} labels are refused: a policy has {_MOST_LABELS} at most"
        )
    return {check_label(label): str(BundleVersion.parse(v)) for label, v in labels.items()}


def labels_to_json(labels: Mapping[str, str]) -> bytes:
    """The file's bytes: `{"champion": "2026-11-22.1"}`."""
    return (json.dumps(dict(labels), indent=2, sort_keys=True) + "\n").encode()


def labels_from_json(data: bytes) -> dict[str, str]:
    """Reads the file's bytes.

    Raises:
        BundleFormatError: They are not a JSON object of labels and versions.
    """
    try:
        labels = json.loads(data)
        if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
            raise ValueError("not an object of labels and versions")
        return check_labels(labels)
    except (ValueError, RecursionError, InvalidInputError) as problem:
        raise BundleFormatError(
            f"{LABELS_FILE} is refused: {problem}", reason=BundleFault.LABELS_INVALID
        ) from None
