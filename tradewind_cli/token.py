"""`tradewind token`: a bearer token, for a caller without a certificate."""

from pathlib import Path
from typing import Annotated

import typer

from tradewind_cli.output import JsonOption, print_answer

__all__ = ["token"]


def token(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the token goes.")],
    as_json: JsonOption = False,
) -> None:
    """Makes a bearer token; its digest goes into the access policy."""
    from tradewind.rpc.access.token import make_token

    answer = {"token": str(file), "digest": make_token(file)}
    print_answer(answer, as_json=as_json)
