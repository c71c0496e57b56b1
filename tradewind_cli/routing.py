"""`tradewind routing`: the variants of an inference service, and who is taken out and let in."""

import dataclasses
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewind.errors import TradewindError
from tradewind_cli.connection import inference_client
from tradewind_cli.output import (
    ExitCode,
    JsonOption,
    print_error,
    print_fields,
    print_json,
    print_table,
    refusal,
)

if TYPE_CHECKING:
    from orchestrator.analysis.comparison import BoundReading
    from tradewind.rpc.clients import InferenceClient, Rollback, Routing

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Variants of an inference service: show, take out.")

AddressOption = Annotated[
    str,
    typer.Option(envvar="TRADEWIND_INFERENCE", help="The inference service.", metavar="HOST:PORT"),
]
PolicyArgument = Annotated[str, typer.Argument(metavar="POLICY", help="The routed policy.")]
VariantArgument = Annotated[str, typer.Argument(metavar="VARIANT", help="Its variant.")]
PolicyOption = Annotated[str, typer.Option(help="Only this policy.")]
NameOption = Annotated[str, typer.Option(help="Who asks for it.")]
ReasonOption = Annotated[str, typer.Option(help="Why.")]
_ADDRESS = "127.0.0.1:50052"
_GUARD = "tradewind routing guard"


@app.command()
def show(
    context: typer.Context,
    policy: PolicyOption = "",
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Shows every variant, its share and its state; the exit code is 1 when a file is refused."""
    with inference_client(context, address) as client:
        routing = client.get_routing(policy)
    if as_json:
        from pydantic_core import to_jsonable_python

        print_json(to_jsonable_python(routing))
    else:
        _print_routing(routing)
    if routing.refusal or routing.state_problem:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def rollback(
    context: typer.Context,
    policy: PolicyArgument,
    variant: VariantArgument,
    name: NameOption,
    reason: ReasonOption,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Takes a variant out: the champion has its share until a person reinstates it."""
    with inference_client(context, address) as client:
        _print_rollback(
            client.roll_back_variant(policy, variant, name=name, reason=reason), as_json
        )


@app.command()
def reinstate(
    context: typer.Context,
    policy: PolicyArgument,
    variant: VariantArgument,
    name: NameOption,
    reason: ReasonOption,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Lets a variant have its share again, and shows the rollback that was ended."""
    with inference_client(context, address) as client:
        _print_rollback(
            client.reinstate_variant(policy, variant, name=name, reason=reason), as_json
        )


@app.command()
def shadows(
    context: typer.Context,
    policy: PolicyOption = "",
    shadow: Annotated[str, typer.Option(help="Only this shadow.")] = "",
    differing: Annotated[bool, typer.Option(help="Only where it differs.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest this many.")] = 20,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Lists what shadows would have answered, newest first."""
    with inference_client(context, address) as client:
        answers = client.shadow_answers(policy, shadow, differing_only=differing, limit=limit)
    if as_json:
        print_json({"shadow_answers": [dataclasses.asdict(answer) for answer in answers]})
        return
    print_table(
        ("answered", "policy", "variant", "actions", "shadow", "its actions", "request", "key"),
        (
            (
                _time(one.answered_at),
                one.policy,
                one.variant,
                _values(one.actions),
                one.shadow,
                one.failure or _values(one.shadow_actions),
                one.request_id,
                one.routing_key,
            )
            for one in answers
        ),
    )


@app.command()
def guard(
    context: typer.Context,
    log: Annotated[
        Path, typer.Argument(metavar="LOG", help="Decision log of the account that they trade in.")
    ],
    every: Annotated[
        float | None, typer.Option(min=0.1, help="Look again after so many seconds, for ever.")
    ] = None,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Takes out variants whose drawdown or shortfall in a decision log is over their bounds.

    The exit code is 1 when one was taken out. With --every it goes on after an error, and says so.
    """
    if every is not None and as_json:
        raise refusal("--json", "prints one document, --every looks for ever")
    with inference_client(context, address) as client:
        while every is not None:
            try:
                _print_readings(_enforce(client, log))
            except TradewindError as problem:
                print_error(problem, as_json=False)
            time.sleep(every)
        readings = _enforce(client, log)
    if as_json:
        print_json({"bounds": [dataclasses.asdict(one) for one in readings]})
    else:
        _print_readings(readings)
    if any(one.is_broken for one in readings):
        raise typer.Exit(ExitCode.FAILED)


def _enforce(client: "InferenceClient", log: Path) -> "list[BoundReading]":
    """Takes every variant out that has broken a bound."""
    from orchestrator.analysis.comparison import read_bounds
    from orchestrator.decision_log import DecisionLog

    readings = list(read_bounds(DecisionLog(log), client.get_routing()))
    for broken in _first_broken(readings):
        client.roll_back_variant(broken.policy, broken.variant, name=_GUARD, reason=_reason(broken))
    return readings


def _first_broken(readings: "Iterable[BoundReading]") -> "list[BoundReading]":
    """The first bound that each variant has broken."""
    found: dict[tuple[str, str], BoundReading] = {}
    for one in readings:
        if one.is_broken:
            found.setdefault((one.policy, one.variant), one)
    return list(found.values())


def _reason(broken: "BoundReading") -> str:
    if broken.value is None:
        return f"{broken.metric} cannot be calculated: {broken.unavailable}"
    return (
        f"{broken.metric} is {broken.value:.4%} after {broken.bar_count:,} bars; "
        f"{broken.limit:.4%} is allowed"
    )


def _print_readings(readings: "Iterable[BoundReading]") -> None:
    print_table(
        ("policy", "variant", "bound", ">limit", ">value", ">bars", "verdict"),
        (
            (
                one.policy,
                one.variant,
                one.metric,
                f"{one.limit:.3%}",
                one.unavailable if one.value is None else f"{one.value:.3%}",
                f"{one.bar_count:,}",
                "taken out" if one.is_broken else "kept",
            )
            for one in readings
        ),
    )


def _print_routing(routing: "Routing") -> None:
    print_table(
        ("policy", "variant", "target", "version", ">weight", ">share", ">answers", "state"),
        (
            (
                one.policy,
                f"{one.name}{' (champion)' if one.champion else ''}",
                one.target,
                one.version,
                "shadow" if one.shadow else f"{one.weight:.1%}",
                "" if one.shadow else f"{one.share:.1%}",
                f"{one.answer_count:,}",
                f"{one.state} {one.detail}".strip(),
            )
            for one in routing.variants
        ),
    )
    if routing.rollbacks:
        print_table(
            ("policy", "rolled back", "at", "by", "cause", "reason"),
            (
                (
                    one.policy,
                    one.variant,
                    _time(one.rolled_back_at),
                    one.name,
                    one.cause,
                    one.reason,
                )
                for one in routing.rollbacks
            ),
        )
    for title, text in (("refused", routing.refusal), ("rollbacks", routing.state_problem)):
        if text:
            print_fields({title: text})


def _print_rollback(rollback: "Rollback", as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(rollback))
        return
    print_fields(
        {
            "variant": f"{rollback.policy}/{rollback.variant}",
            "rolled back": f"{_time(rollback.rolled_back_at)} by {rollback.name}",
            "cause": rollback.cause,
            "reason": rollback.reason,
        }
    )


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S}"


def _values(actions: tuple[float, ...]) -> str:
    shown = ", ".join(f"{value:g}" for value in actions[:6])
    return f"{shown}, …" if len(actions) > 6 else shown
