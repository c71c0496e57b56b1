"""`tradewind jobs`: trainings of a running trainer service."""

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.jobs import JobState, TrainingJob
from tradewind.reporting.progress import progress_console
from tradewind_cli.configuration import ConfigArgument, SetOption, read_configuration
from tradewind_cli.connection import given_options, trainer_client
from tradewind_cli.output import (
    ExitCode,
    JsonOption,
    print_fields,
    print_json,
    print_table,
)
from tradewind_cli.progress import follow_job, said_when_interrupted

if TYPE_CHECKING:
    from tradewind.rpc.clients import TrainerClient

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Jobs of a trainer service: start, follow, cancel.")

AddressOption = Annotated[
    str, typer.Option(envvar="TRADEWIND_TRAINER", help="The trainer service.", metavar="HOST:PORT")
]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
_ADDRESS = "127.0.0.1:50051"


@app.command()
def start(
    context: typer.Context,
    config: ConfigArgument,
    policy: Annotated[str, typer.Option(help="Name of the policy to publish.")],
    assignments: SetOption = None,
    request_id: Annotated[
        str, typer.Option(help="The same id again gives the job it started the first time.")
    ] = "",
    watch: Annotated[bool, typer.Option(help="Follow the job until it ends.")] = False,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Queues a training; with --watch the exit code says how it ended."""
    values = read_configuration(config, assignments)
    with trainer_client(context, address) as client:
        job = client.start_training(policy, values, request_id=request_id)
        if watch:
            job = _follow(context, client, job.job_id, address, as_json=as_json)
    _report(job, as_json=as_json, ended=watch)


@app.command("list")
def list_jobs(
    context: typer.Context,
    address: AddressOption = _ADDRESS,
    limit: Annotated[int, typer.Option(min=1, help="The newest this many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Lists jobs, newest first."""
    with trainer_client(context, address) as client:
        jobs = list(itertools.islice(client.list_jobs(), limit))
    if as_json:
        print_json({"jobs": [_document(job) for job in jobs]})
        return
    print_table(
        ("job", "policy", "state", ">done", "created", "bundle", "error"),
        (
            (
                job.job_id,
                job.policy,
                job.state,
                _share(job),
                _time(job.created_at),
                job.bundle_version,
                job.error.partition("\n")[0],
            )
            for job in jobs
        ),
    )


@app.command()
def show(
    context: typer.Context,
    job: JobArgument,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Shows one job."""
    with trainer_client(context, address) as client:
        _report(client.get_job(job), as_json=as_json, ended=False)


@app.command()
def watch(
    context: typer.Context,
    job: JobArgument,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Follows a job until it ends; the exit code says how."""
    with trainer_client(context, address) as client:
        ended = _follow(context, client, job, address, as_json=as_json)
    _report(ended, as_json=as_json, ended=True)


@app.command()
def cancel(
    context: typer.Context,
    job: JobArgument,
    address: AddressOption = _ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Cancels a job; answers when it has ended."""
    with trainer_client(context, address) as client:
        _report(client.cancel(job), as_json=as_json, ended=False)


def _follow(
    context: typer.Context, client: "TrainerClient", job_id: str, address: str, *, as_json: bool
) -> TrainingJob:
    """Draws a job until it ends; Ctrl-C ends the drawing alone, which is said."""
    before, after = given_options(context), [job_id, "--address", address]
    with said_when_interrupted(
        lambda: f"job {job_id} goes on in the trainer service; to watch it again, or to cancel it:",
        lambda: [[*before, "jobs", verb, *after] for verb in ("watch", "cancel")],
        as_json=as_json,
    ):
        return follow_job(client.watch(job_id), progress_console())
    raise AssertionError  # whatever is raised goes through


def _report(job: TrainingJob, *, as_json: bool, ended: bool) -> None:
    document = _document(job)
    if as_json:
        print_json(document)
    else:
        shown = {
            name: value for name, value in document.items() if name not in ("config", "metrics")
        }
        print_fields({name: str(value) for name, value in shown.items() if value != ""})
    if ended and job.state is not JobState.SUCCEEDED:
        raise typer.Exit(ExitCode.FAILED)


def _document(job: TrainingJob) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "policy": job.policy,
        "state": job.state,
        "phase": job.progress.phase,
        "timesteps_done": job.progress.timesteps_done,
        "timesteps_total": job.progress.timesteps_total,
        "bundle_version": job.bundle_version,
        "bundle_sha256": job.bundle_sha256,
        "error": job.error,
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "ended_at": _time(job.ended_at),
        "metrics": dict(job.progress.metrics),
    }


def _share(job: TrainingJob) -> str:
    total = job.progress.timesteps_total
    return f"{min(job.progress.timesteps_done / total, 1.0):.0%}" if total else ""


def _time(seconds: float) -> str:
    """UTC to the second; empty for a time that has not come."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""
