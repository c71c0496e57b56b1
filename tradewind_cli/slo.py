"""`tradewind slo`: model compute against its objective, of a bundle or of a running service."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.errors import NotFoundError
from tradewind_cli.connection import inference_client
from tradewind_cli.output import ExitCode, JsonOption, print_json, print_table, refusal

__all__ = ["slo"]

_PERCENTILES = ("p50", "p99", "p999")


def slo(
    context: typer.Context,
    bundle: Annotated[
        Path | None, typer.Argument(metavar="[BUNDLE]", help="Measure this bundle here.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ask this inference service what it has measured.")
    ] = None,
    policy: Annotated[str, typer.Option(help="With --address: only this policy.")] = "",
    trials: Annotated[int, typer.Option(help="With BUNDLE: predictions to measure.")] = 10_000,
    slo_us: Annotated[
        float, typer.Option(help="With BUNDLE: the objective, in microseconds.")
    ] = MAX_PREDICTION_LATENCY_US,
    percentile: Annotated[
        str, typer.Option(help=f"What must be within the objective: {', '.join(_PERCENTILES)}.")
    ] = "p99",
    as_json: JsonOption = False,
) -> None:
    """Judges model-compute latency; the exit code is 1 when the objective is missed.

    Of a service, calls with one observation and calls with a batch are judged each by themselves.
    """
    if (bundle is None) == (address is None):
        raise refusal("BUNDLE", "give either a bundle or --address of a service")
    if percentile not in _PERCENTILES:
        raise refusal("--percentile", f"must be one of {', '.join(_PERCENTILES)}: {percentile!r}")
    if bundle is not None:
        rows = [_measure(bundle, trials, slo_us)]
    else:
        rows = _ask(context, str(address), policy)
    for row in rows:
        row["judged"] = percentile
        row["slo_met"] = row[f"{percentile}_us"] <= row["slo_us"]
    if as_json:
        print_json({"reports": rows})
    else:
        _print(rows)
    if not all(row["slo_met"] for row in rows):
        raise typer.Exit(ExitCode.FAILED)


def _measure(bundle: Path, trials: int, slo_us: float) -> dict[str, Any]:
    from inference_service.execution_agent import ExecutionAgentStub
    from tradewind.policy import load_sealed_policy

    agent = ExecutionAgentStub(load_sealed_policy(bundle), slo_us)
    report = agent.validate_slo_compliance(trials)
    return {
        "policy": agent.metadata.name,
        "version": agent.metadata.version,
        "call": "single",
        "calls": trials,
        "mean_us": report["mean_latency_us"],
        "p50_us": report["p50_latency_us"],
        "p99_us": report["p99_latency_us"],
        "p999_us": report["p999_latency_us"],
        "slo_us": slo_us,
    }


def _ask(context: typer.Context, address: str, policy: str) -> list[dict[str, Any]]:
    with inference_client(context, address) as client:
        reports = [
            (call, report)
            for single in client.latency_reports(policy)
            for call, report in (("single", single), ("batch", single.batch))
            if report is not None and report.call_count
        ]
    if not reports:
        raise NotFoundError(f"the service at {address} has measured no prediction yet")
    return [
        {
            "policy": report.policy,
            "version": report.version,
            "call": call,
            "calls": report.call_count,
            "mean_us": report.mean_us,
            **{f"{name}_us": getattr(report, f"{name}_us") for name in _PERCENTILES},
            "slo_us": report.slo_us,
        }
        for call, report in reports
    ]


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("policy", "version", "call", ">calls", *(f">{name} µs" for name in _PERCENTILES))
    print_table(
        (*columns, ">SLO µs", "verdict"),
        (
            (
                row["policy"],
                row["version"],
                row["call"],
                f"{row['calls']:,}",
                *(f"{row[f'{name}_us']:.1f}" for name in _PERCENTILES),
                f"{row['slo_us']:.0f}",
                f"{row['judged']} {'met' if row['slo_met'] else 'MISSED'}",
            )
            for row in rows
        ),
    )
