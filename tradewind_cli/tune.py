"""`tradewind tune`: a hyper-parameter search, from a configuration to a better one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradewind.reporting.progress import TrainingBar, progress_console
from tradewind_cli.configuration import ConfigArgument, SetOption, read_configuration
from tradewind_cli.output import JsonOption, print_fields, print_json
from tradewind_cli.progress import said_when_interrupted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from tradewind.jobs import TrainingProgress

__all__ = ["tune"]


def tune(
    config: ConfigArgument,
    search: Annotated[Path, typer.Option(metavar="FILE", help="What to vary, a YAML file.")],
    assignments: SetOption = None,
    trials: Annotated[int | None, typer.Option(help="Trainings in all.")] = None,
    output: Annotated[
        Path, typer.Option(help="Folder of the search; an interrupted search goes on.")
    ] = Path("runs/tune"),
    as_json: JsonOption = False,
) -> None:
    """Searches for hyper-parameters with Optuna; trials that stay too risky are pruned.

    The held-out bars take no part. The best configuration is written to best.yaml in the output
    folder, ready for `tradewind train`.
    """
    # torch and Stable-Baselines3 take seconds to import: no other command should wait for them
    import yaml

    from tradewind.settings import load_settings
    from trainer_service.research.tuning import TuningConfig
    from trainer_service.research.tuning import tune as run_search

    values = read_configuration(config, assignments)
    tuning = load_settings(search, TuningConfig, {} if trials is None else {"trials": trials})
    console = progress_console()
    again = ["tune", str(config), "--search", str(search), "--trials", str(tuning.trials)]
    again += ["--output", str(output)]
    again += [word for each in assignments or () for word in ("--set", each)]
    ended = 0

    def report(trial: "FrozenTrial") -> None:
        nonlocal ended
        ended += 1
        figure = "" if trial.value is None else f"{tuning.objective} {trial.value:.4f}"
        problem = trial.user_attrs.get("problem", "").partition("\n")[0]
        console.print(
            f"trial {trial.number + 1} of {tuning.trials}: {trial.state.name.lower()} "
            f"{figure}{problem}",
            markup=False,
        )

    def draw(number: int, progress: "TrainingProgress") -> None:
        bar.update(progress, f"trial {number + 1}/{tuning.trials}")

    with (
        said_when_interrupted(
            lambda: f"{ended} trials ended and are kept, the one that ran is lost; it goes on by",
            lambda: [again],
            as_json=as_json,
        ),
        TrainingBar(console) as bar,
    ):
        result = run_search(values, tuning, output, report, draw)
    best = output / "best.yaml"
    best.write_text(yaml.safe_dump(result.config.model_dump(mode="json"), sort_keys=False))
    if as_json:
        print_json(
            {
                "best": str(best),
                "objective": {tuning.objective: result.objective},
                "values": dict(result.values),
                "completed": result.completed_count,
                "pruned": result.pruned_count,
                "failed": result.failed_count,
            }
        )
        return
    print_fields(
        {
            f"best {tuning.objective}": f"{result.objective:.6g} on the validation bars",
            "trials": f"{result.completed_count} judged, {result.pruned_count} pruned, "
            f"{result.failed_count} failed",
            **{key: str(value) for key, value in result.values.items()},
            "configuration": str(best),
        }
    )
