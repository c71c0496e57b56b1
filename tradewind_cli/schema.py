"""`tradewind schema`: what a settings file, or the metadata of a bundle, may hold."""

from typing import Annotated

import typer

from tradewind.errors import FieldViolation, InvalidInputError
from tradewind_cli.output import print_json

__all__ = ["schema"]


def schema(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A settings file, such as inference, or bundle-metadata."
        ),
    ],
) -> None:
    """Prints a JSON Schema: for an editor, or for a check of one's own."""
    from tradewind_cli.settings_files import FILES, WRITTEN, schema_of

    if name not in {**FILES, **WRITTEN}:
        names = ", ".join((*FILES, *WRITTEN))
        raise InvalidInputError(
            "the command line is refused",
            [FieldViolation("NAME", f"there is no schema {name!r}; there are {names}")],
        )
    print_json(schema_of(name))
