"""`tradewind replay`: re-runs a decision log, bit by bit, or with another bundle."""

import dataclasses
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.reporting.progress import WorkBar, progress_console
from tradewind_cli.configuration import FeatureOption
from tradewind_cli.output import (
    ExitCode,
    JsonOption,
    print_fields,
    print_json,
    print_table,
    refusal,
)

if TYPE_CHECKING:
    from orchestrator.analysis.decision_replay import Counterfactual, Difference, Verification

__all__ = ["parse_time", "replay", "verdict"]

_ACTIONS = ("SELL", "HOLD", "BUY")


def replay(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Folder of a decision log.")],
    store: Annotated[
        Path, typer.Option(help="Bundle store: the bundles that decided lie there.")
    ] = Path("bundles"),
    policy: Annotated[
        str | None, typer.Option(help="Run another bundle of the store: its policy, …")
    ] = None,
    version: Annotated[str | None, typer.Option(help="… and its version.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Run another bundle: its folder STORE/POLICY/VERSION.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="First close, ISO 8601; UTC unless it says."),
    ] = None,
    stop: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Closes before this time.")
    ] = None,
    risk_policy: Annotated[
        list[Path] | None,
        typer.Option(help="A risk policy that was in force and is not in the log's facts."),
    ] = None,
    feature: FeatureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Proves a period of the log bit by bit against the bundles that decided.

    With --bundle, or --policy and --version: what that bundle would have done instead.

    The exit code of a proof is 0 when all that was compared is equal, and 1 when something differs.
    """
    other = _other_bundle(store, policy, version, bundle)
    period = {
        "start_ns": parse_time("--from", start) if start else None,
        "stop_ns": parse_time("--to", stop) if stop else None,
    }
    # torch takes seconds to import: no other command should wait for it
    from orchestrator.analysis.decision_replay import open_bundle, replay_other, verify
    from orchestrator.decision_log import DecisionLog
    from tradewind.bundle import BundleStore
    from tradewind.market import known_groups
    from tradewind.risk.policy import RiskPolicy

    known = known_groups(feature or (), "--feature")
    bar = WorkBar(progress_console(), "replaying")
    if other is not None:
        with bar:
            found = replay_other(DecisionLog(log), open_bundle(other, known), **period)
        print_json(_other_document(found)) if as_json else _print_other(found)
        return
    policies = [RiskPolicy.from_yaml(path) for path in risk_policy or ()]
    with bar:
        proved = verify(
            DecisionLog(log),
            BundleStore(store),
            **period,
            risk_policies=policies,
            known=known,
            on_stage=lambda stage: bar.show(figures=stage),
        )
    print_json(_document(proved)) if as_json else _print(proved)
    if not proved.equal:
        raise typer.Exit(ExitCode.FAILED)


def verdict(found: "Verification") -> str:
    """What a proof comes to, in a line."""
    compared = sum(column.compared for column in found.columns)
    if found.equal:
        return f"EQUAL: {compared:,} values, to the last bit where the column says no other"
    different = sum(column.different for column in found.columns)
    return f"DIFFERENT: {different:,} of {compared:,} values"


def parse_time(option: str, text: str) -> int:
    """A time of the command line, nanoseconds since the epoch.

    Raises:
        SettingsError: It is no time.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise refusal(option, f"must be a time such as 2026-11-22T09:30, not {text!r}") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1e6) * 1_000


def _other_bundle(
    store: Path, policy: str | None, version: str | None, bundle: Path | None
) -> Path | None:
    if (policy is None) != (version is None):
        raise refusal("--policy", "--policy and --version go together")
    if policy is None or version is None:
        return bundle
    if bundle is not None:
        raise refusal("--bundle", "give either --bundle, or --policy and --version")
    from tradewind.bundle import BundleStore

    return BundleStore(store).path(policy, version)


def _document(found: "Verification") -> dict[str, object]:
    first = found.first_difference
    return {
        "equal": found.equal,
        "account": found.account,
        "ticks": found.ticks,
        "first_tick": found.first_sequence,
        "last_tick": found.last_sequence,
        "recovered_ticks": found.recovered_ticks,
        "bundles": list(found.bundles),
        "first_difference": None
        if first is None
        else {"column": first[0], **_difference(first[1])},
        "columns": [
            {
                "column": column.column,
                "compared": column.compared,
                "different": column.different,
                "first": None if column.first is None else _difference(column.first),
            }
            for column in found.columns
        ],
        "not_checked": list(found.not_checked),
        "elapsed_s": found.elapsed_s,
        "ticks_per_second": found.ticks / found.elapsed_s,
    }


def _difference(first: "Difference") -> dict[str, object]:
    return {
        "tick": first.sequence,
        "time": _time(first.close_ns),
        "symbol": first.symbol or None,
        "item": first.item or None,
        "logged": _plain(first.logged),
        "replayed": _plain(first.replayed),
    }


def _plain(value: Any) -> Any:
    """As JSON has it; what it does not have becomes text."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, bool | int | float | str | dict):
        return value
    return str(value)


def _print(found: "Verification") -> None:
    span = f"{found.first_sequence:,} to {found.last_sequence:,}"
    times = f"{_time(found.first_close_ns)} to {_time(found.last_close_ns)}"
    print_fields(
        {
            "account": found.account,
            "ticks": f"{span}, {times}",
            "decided by": ", ".join(found.bundles) or "no bundle",
            "speed": f"{found.ticks:,} ticks in {found.elapsed_s:.2f} s, "
            f"{found.ticks / found.elapsed_s:,.0f} ticks/s",
        }
    )
    rows = [
        (column.column, f"{column.compared:,}", f"{column.different:,}") for column in found.columns
    ]
    print_table(("column", ">compared", ">different"), rows)
    differing = [column for column in found.columns if column.first is not None]
    if differing:
        print_table(
            ("first difference in", ">tick", "time (UTC)", "symbol", "item", "logged", "replayed"),
            (
                (
                    column.column,
                    f"{column.first.sequence:,}",
                    _time(column.first.close_ns),
                    column.first.symbol,
                    column.first.item,
                    repr(column.first.logged),
                    repr(column.first.replayed),
                )
                for column in differing
                if column.first is not None
            ),
        )
    print_fields({"not checked": "; ".join(found.not_checked), "verdict": verdict(found)})


def _other_document(found: "Counterfactual") -> dict[str, object]:
    actions = found.actions
    return {
        "counterfactual": True,
        "bundle": found.bundle,
        "ticks": found.ticks,
        "actions": {
            "compared": actions.compared,
            "equal": actions.equal,
            "equal_share": actions.equal / actions.compared,
            "mean_target_distance": actions.mean_target_distance,
            "logged_then_other": [
                {"logged": pair[0], "other": pair[1], "count": count}
                for pair, count in sorted(actions.confusion.items())
            ],
            "first": [dataclasses.asdict(item) for item in actions.first],
        },
        "logged_account": dataclasses.asdict(found.logged),
        "counterfactual_account": dataclasses.asdict(found.other),
        "counterfactual_fills": found.fills,
        "notes": list(found.notes),
        "elapsed_s": found.elapsed_s,
    }


def _print_other(found: "Counterfactual") -> None:
    actions = found.actions
    distance = actions.mean_target_distance
    print_fields(
        {
            "bundle": found.bundle,
            "ticks": f"{found.ticks:,} in {found.elapsed_s:.2f} s",
            "equal actions": f"{actions.equal:,} of {actions.compared:,} "
            f"({actions.equal / actions.compared:.2%}), on the logged positions",
            "targets apart": "" if distance is None else f"{distance:.4f} of equity on average",
        }
    )
    if actions.confusion:
        rows = [
            (_action(logged), _action(other), f"{count:,}")
            for (logged, other), count in sorted(actions.confusion.items())
        ]
        print_table(("logged", "this bundle", ">decisions"), rows)
    if actions.first:
        print_table(
            (">tick", "time (UTC)", "symbols", "logged", "this bundle"),
            (
                (
                    f"{item.sequence:,}",
                    _time(item.close_ns),
                    " ".join(item.symbols),
                    _action(item.logged),
                    _action(item.other),
                )
                for item in actions.first
            ),
        )
    accounts = (found.logged, found.other)
    print_table(
        ("", ">logged", ">counterfactual"),
        [
            ("return", *(f"{one.total_return:+.2%}" for one in accounts)),
            ("max drawdown", *(f"{one.max_drawdown:.2%}" for one in accounts)),
            ("volatility a year", *(_share(one.volatility) for one in accounts)),
            ("ES 95 % per bar", *(_share(one.expected_shortfall_95) for one in accounts)),
        ],
    )
    print_fields({"note": "; ".join(found.notes)})


def _action(action: int | tuple[float, ...]) -> str:
    if isinstance(action, int):
        return _ACTIONS[action] if action < len(_ACTIONS) else str(action)
    return " ".join(f"{number:.6g}" for number in action)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3%}"


def _time(close_ns: int) -> str:
    return f"{datetime.fromtimestamp(close_ns / 1e9, tz=UTC):%Y-%m-%d %H:%M:%S}"
