"""Names of policies, versions and files, checked before any of them becomes part of a path."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

from tradewind.errors import FieldViolation, InvalidInputError

__all__ = [
    "GOLDEN_FILE",
    "METADATA_FILE",
    "POLICY_FILE",
    "POLICY_NAME_PATTERN",
    "SERVED_LABEL",
    "SIGNATURE_FILE",
    "VERSION_PATTERN",
    "WEIGHTS_FILE",
    "BundleVersion",
    "check_extra_file_name",
    "check_label",
    "check_policy_name",
]

POLICY_FILE: Final = "policy.pt"
WEIGHTS_FILE: Final = "policy.safetensors"
GOLDEN_FILE: Final = "golden.npz"
METADATA_FILE: Final = "metadata.json"
SIGNATURE_FILE: Final = "metadata.json.sig"

SERVED_LABEL: Final = "served"
"""Label of the version that answers when a call names none; a server gives it."""

POLICY_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
VERSION_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\.[1-9][0-9]{0,5}$"

_POLICY_NAME = re.compile(POLICY_NAME_PATTERN)
_VERSION = re.compile(VERSION_PATTERN)
_EXTRA_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_RESERVED_FILES = frozenset({POLICY_FILE, WEIGHTS_FILE, GOLDEN_FILE, METADATA_FILE, SIGNATURE_FILE})


@dataclass(frozen=True, slots=True, order=True)
class BundleVersion:
    """CalVer day and serial, ordered by day, then by serial as a number: "2026-11-22.10"."""

    day: date
    serial: int

    def __str__(self) -> str:
        return f"{self.day.isoformat()}.{self.serial}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "2026-11-22.1".

        Raises:
            InvalidInputError: The text is anything else.
        """
        try:
            if _VERSION.fullmatch(text) is not None:
                day, serial = text.split(".")
                return cls(date.fromisoformat(day), int(serial))
        except ValueError:  # shaped like a date, such as 2026-13-01, but none
            pass
        raise InvalidInputError(
            "bundle version is refused",
            [FieldViolation("version", f"{text!r} is not a day and a serial such as 2026-11-22.1")],
        )


def check_policy_name(name: str) -> str:
    """Gives the name back.

    Raises:
        InvalidInputError: The name could leave the store, or is not portable.
    """
    if _POLICY_NAME.fullmatch(name) is None:
        raise InvalidInputError(
            "policy name is refused",
            [FieldViolation("policy", f"{name!r} does not match {POLICY_NAME_PATTERN}")],
        )
    return name


def check_label(label: str) -> str:
    """Gives a label of versions back.

    Raises:
        InvalidInputError: It is not of the form of a policy's name, or is `served`.
    """
    if _POLICY_NAME.fullmatch(label) is None or label == SERVED_LABEL:
        raise InvalidInputError(
            "label is refused",
            [
                FieldViolation(
                    "label",
                    f"{label!r} does not match {POLICY_NAME_PATTERN}, or is {SERVED_LABEL!r}, "
                    "which is what a server calls the version that it serves",
                )
            ],
        )
    return label


def check_extra_file_name(name: str) -> str:
    """Gives the name of a file beside the bundle's own back.

    Raises:
        InvalidInputError: The name is that of one of the bundle's own files, or not a plain name.
    """
    if _EXTRA_FILE.fullmatch(name) is None or name in _RESERVED_FILES:
        raise InvalidInputError(
            "extra file is refused",
            [
                FieldViolation(
                    "extra_files",
                    f"{name!r} does not match {_EXTRA_FILE.pattern}, or is a bundle's own file",
                )
            ],
        )
    return name
