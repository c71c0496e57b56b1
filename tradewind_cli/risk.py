"""`tradewind risk`: what a risk service enforces, whom it has halted and why, and the end of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.errors import NotFoundError
from tradewind_cli.connection import risk_client
from tradewind_cli.output import (
    ExitCode,
    JsonOption,
    print_answer,
    print_fields,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from tradewind.rpc.clients import DecisionRecord

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="A risk service: its policy, its halts, their end.")

AddressOption = Annotated[
    str, typer.Option(envvar="TRADEWIND_RISK", help="The risk service.", metavar="HOST:PORT")
]
_ADDRESS = "127.0.0.1:50053"


@app.command()
def status(
    context: typer.Context,
    account: Annotated[str, typer.Argument(metavar="[ACCOUNT]", help="Only this account.")] = "",
    decisions: Annotated[
        int, typer.Option(min=1, help="Without ACCOUNT: the newest this many are looked through.")
    ] = 10_000,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Shows the last decision about each account; the exit code is 1 when one is halted."""
    with risk_client(context, address) as client:
        found = client.list_decisions(account=account, page_size=1 if account else 0)
        rows = list(_newest(islice(found, 1 if account else decisions)))
    if not rows:
        about = f"account {account}" if account else "any account"
        raise NotFoundError(f"the risk service at {address} has decided nothing about {about}")
    if as_json:
        print_json({"accounts": rows})
    else:
        _print(rows)
    if any(row["halt"] is not None for row in rows):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def resume(
    context: typer.Context,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The halted account.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    name: Annotated[str, typer.Option(help="Who; an access policy knows it by itself.")] = "",
    role: Annotated[str, typer.Option(help="In which role; likewise.")] = "",
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Clears the halt of an account. While its cause lasts, the next answer halts it again."""
    with risk_client(context, address) as client:
        decision_id = client.resume(account, name=name, role=role, reason=reason)
    if as_json:
        print_json({"account": account, "decision_id": decision_id})
    else:
        print_fields({"resumed": account, "decision": decision_id})


@app.command()
def policy(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="This policy file, no service.")
    ] = None,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Shows the risk policy in force, its digest and its overlay; or the digest of a file."""
    if file is not None:
        from tradewind.risk import RiskPolicy

        found = RiskPolicy.from_yaml(file)
        print_answer({"policy": str(file), "digest": found.digest()}, as_json=as_json)
        return
    with risk_client(context, address) as client:
        status = client.get_policy()
    answer = {
        "digest": status.policy_digest,
        "overlay": status.overlay_digest,
        "refused": status.refusal,
    }
    if as_json:
        print_json({**answer, "limits": dict(status.limits), "rules": list(status.rules)})
    else:
        limits = "; ".join(f"{metric} {limit:g}" for metric, limit in status.limits.items())
        rules = "; ".join(status.rules)
        print_fields({**answer, "limits": limits, "rules": rules})


def _newest(decisions: "Iterator[DecisionRecord]") -> Iterator[dict[str, Any]]:
    """The first of each account, of decisions newest first."""
    seen: set[str] = set()
    for decision in decisions:
        if decision.account in seen:
            continue
        seen.add(decision.account)
        halt = decision.halt
        yield {
            "account": decision.account,
            "action": decision.action.name,
            "decided_at": _time(decision.decided_at),
            "decision_id": decision.decision_id,
            "policy_digest": decision.policy_digest,
            "halt": None
            if halt is None
            else {
                "action": halt.action.name,
                "since": _time(halt.since),
                "rule": halt.rule,
                "reason": halt.reason,
                "decision_id": halt.decision_id,
            },
        }


def _print(rows: list[dict[str, Any]]) -> None:
    print_table(
        ("account", "now", "decided", "halted since", "rule", "why"),
        (
            (
                row["account"],
                row["action"],
                row["decided_at"],
                *(row["halt"][name] if row["halt"] else "" for name in ("since", "rule", "reason")),
            )
            for row in rows
        ),
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
