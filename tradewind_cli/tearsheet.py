"""`tradewind tearsheet`: a decision log as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from tradewind.errors import StorageError
from tradewind_cli.output import JsonOption, print_answer

__all__ = ["tearsheet"]


def tearsheet(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Folder of a decision log.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")],
    as_json: JsonOption = False,
) -> None:
    """Writes a page that needs nothing but itself: what the account did, and how fast.

    Equity, drawdown against its limit, returns with VaR and ES, positions over price, costs,
    decisions, latency against SLO and budget, variants, halts.
    """
    from orchestrator.analysis.tearsheet import render_tearsheet
    from orchestrator.decision_log import DecisionLog

    page = render_tearsheet(DecisionLog(log))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(page)
    except OSError as problem:
        raise StorageError(f"cannot write {output}: {problem}") from problem
    print_answer({"page": str(output)}, as_json=as_json)
