"""`tradewind train`: a training in this process, from a configuration to a published bundle."""

from pathlib import Path
from typing import Annotated

import typer

from tradewind_cli.configuration import ConfigArgument, SetOption, read_configuration
from tradewind_cli.evaluate import print_figures
from tradewind_cli.output import JsonOption, print_json, progress_console
from tradewind_cli.progress import TrainingBar

__all__ = ["train"]


def train(
    config: ConfigArgument,
    assignments: SetOption = None,
    store: Annotated[Path | None, typer.Option(help="Bundle store to publish to.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name of the policy to publish.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Trains here, evaluates on the held-out bars and publishes a bundle."""
    values = read_configuration(config, assignments)
    if store is not None:
        values["store"] = store
    if policy is not None:
        values["policy"] = policy
    # torch and Stable-Baselines3 take seconds to import: no other command should wait for them
    from tradewind_cli.compiling import compile_missing
    from trainer_service.training.agent import TrainerAgent
    from trainer_service.training.config import JobConfig, parse_training_config
    from trainer_service.training.workspace import make_environment

    job = parse_training_config(values, JobConfig)
    compile_missing(progress_console(), ("risk", "market", "networks"))
    with TrainingBar(progress_console()) as bar:
        bundle = TrainerAgent(job).train(make_environment(job), bar.update)
    metadata = bundle.metadata
    if as_json:
        print_json(
            {
                "bundle": str(bundle.path),
                "policy": metadata.name,
                "version": metadata.version,
                "bundle_sha256": metadata.sha256,
                "evaluation": dict(metadata.evaluation),
            }
        )
        return
    print_figures(metadata.evaluation)
    typer.echo(f"published {bundle.path}")
