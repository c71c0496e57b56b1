"""`tradewind evaluate` and `walk-forward`: what a policy, or a configuration, is worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tradewind.errors import StorageError
from tradewind.jobs import TrainingProgress
from tradewind.reporting.progress import TrainingBar, WorkBar, progress_console
from tradewind.showing import evaluation_table, figures_table
from tradewind_cli.configuration import (
    ConfigArgument,
    FeatureOption,
    SetOption,
    read_configuration,
)
from tradewind_cli.output import (
    JsonOption,
    print_fields,
    print_json,
    print_table,
    refusal,
)
from tradewind_cli.progress import said_when_interrupted

__all__ = ["evaluate", "print_figures", "walk_forward"]


def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder STORE/POLICY/VERSION.")],
    symbol: Annotated[
        str | None, typer.Option(help="An embedded sample, or what the bars of --bars are of.")
    ] = None,
    bars: Annotated[
        Path | None, typer.Option(help="A file of bars: separated text or Parquet.")
    ] = None,
    fraction: Annotated[
        float, typer.Option(help="Share of the bars, the latest ones, to trade; 1 for all.")
    ] = 0.2,
    risk_policy: Annotated[Path, typer.Option(help="Settings of the risk calculators.")] = Path(
        "config/risk_limits.yaml"
    ),
    feature: FeatureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Runs a bundle's policy over bars, costs included, beside baselines.

    Without --symbol and --bars it trades the sample of BTC, or the samples of the symbols that the
    policy trades together. Which bars the policy was trained on,
    the bundle says: figures on those are no evidence.
    """
    if not 0.0 < fraction <= 1.0:
        raise refusal("--fraction", f"must be above 0 and at most 1: {fraction}")
    with WorkBar(progress_console(), "evaluating"):
        figures, bars_traded = _judge(bundle, symbol, bars, fraction, risk_policy, feature)
    if as_json:
        print_json({"bundle": str(bundle), "bars": bars_traded, "evaluation": figures})
        return
    print_figures(figures)


def _judge(
    bundle: Path,
    symbol: str | None,
    bars: Path | None,
    fraction: float,
    risk_policy: Path,
    feature: list[str] | None,
) -> tuple[Mapping[str, float], int]:
    """The figures of a bundle on bars, and how many bars these are."""
    # torch takes seconds to import: no other command should wait for it
    from tradewind.bundle import read_bundle
    from tradewind.market import (
        BarPanel,
        BarSeries,
        known_groups,
        load_bars,
        load_sample,
        split_bars,
    )
    from tradewind.risk import RiskPolicy
    from trainer_service.research.judging import evaluate_bundle

    features = read_bundle(bundle).metadata.features
    series: BarSeries
    if bars is not None:
        series = load_bars(bars, symbol)
    elif symbol is None and features is not None and features.symbols:
        series = BarPanel.align([load_sample(name) for name in features.symbols])
    else:
        series = load_sample(symbol or "BTC")
    traded = series if fraction == 1.0 else split_bars(series, fraction)[1]
    known = known_groups(feature or (), "--feature")
    rules = RiskPolicy.from_yaml(risk_policy)
    return evaluate_bundle(bundle, traded, rules, known=known).figures, len(traded)


def walk_forward(
    config: ConfigArgument,
    assignments: SetOption = None,
    folds: Annotated[int, typer.Option(help="Trainings, each judged on bars of its own.")] = 4,
    report: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path(
        "runs/walk-forward.html"
    ),
    as_json: JsonOption = False,
) -> None:
    """Trains a configuration again and again as time goes on, each time judged on what followed.

    The page shows each fold beside baselines, and the curve of all of them strung together.
    """
    values = read_configuration(config, assignments)
    # torch and Stable-Baselines3 take seconds to import: no other command should wait for them
    from tradewind.risk import RiskPolicy
    from tradewind.settings import parse_settings
    from trainer_service.evaluation import WalkForwardConfig
    from trainer_service.research.report import render_walk_forward
    from trainer_service.research.walk_forward import walk_forward as run_folds
    from trainer_service.training.config import JobConfig, parse_training_config
    from trainer_service.training.workspace import make_environment

    job = parse_training_config(values, JobConfig)
    settings = parse_settings({"folds": folds}, WalkForwardConfig, source="the command line")
    done = 0
    again = ["walk-forward", str(config), "--folds", str(folds), "--report", str(report)]
    again += [word for each in assignments or () for word in ("--set", each)]

    def draw(fold: int, progress: TrainingProgress) -> None:
        nonlocal done
        done = fold
        bar.update(progress, f"fold {fold + 1}/{folds}")

    with (
        said_when_interrupted(
            lambda: f"{done} of {folds} folds were done, which are lost; it begins anew by",
            lambda: [again],
            as_json=as_json,
        ),
        TrainingBar(progress_console()) as bar,
    ):
        env = make_environment(job)
        found = run_folds(job, env, settings, draw)
    page = render_walk_forward(
        found,
        config=job,
        symbol=env.bars.symbol,
        risk_policy=RiskPolicy.from_yaml(job.risk_config.policy_yaml),
    )
    _write(report, page)
    if as_json:
        folds_found = [fold.evaluation.figures for fold in found.folds]
        print_json({"folds": folds_found, "summary": found.summary, "report": str(report)})
        return
    table = figures_table("over the folds", found.summary)
    print_table(table.columns, table.rows)
    print_fields({"report": str(report)})


def _write(path: Path, page: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page)
    except OSError as problem:
        raise StorageError(f"cannot write the report to {path}: {problem}") from problem


def print_figures(figures: Mapping[str, float]) -> None:
    """Prints the figures of an evaluation: the policy with its interval, beside the baselines."""
    table = evaluation_table(figures)
    print_table(table.columns, table.rows)
