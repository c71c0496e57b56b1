"""MLflow: parameters, metrics over timesteps, and the bundle with its report."""

import contextlib
import hashlib
import logging
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, MAX_PARAM_VAL_LENGTH

from tradewind.bundle import PublishedBundle
from tradewind.errors import TrainingError
from trainer_service.tracking.tracker import Outcome, Tracker

__all__ = ["MlflowTracker"]

_LOG = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S: Final = 5.0
_NO_SUCH_RUN: Final = "RESOURCE_DOES_NOT_EXIST"
_REFUSED: Final = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST"})
_PARAMETERS_PER_CALL: Final = 100  # a limit of MLflow
# How long the end of a run waits for what is still to be sent.
_PATIENCE_S: Final = {"FINISHED": 60.0, "FAILED": 10.0, "KILLED": 2.0}


class MlflowTracker(Tracker):
    """One run in an MLflow experiment.

    Everything is sent by a thread of its own, so that a slow server never slows the training. The
    first failure is logged and ends the sending.

    Args:
        uri: Tracking URI.
        experiment: Name of the experiment; made when there is none.
        name: Name of the run.
        parameters: Configuration of the training, nested.
        run_id: A run that was begun before, to go on with; a new one is begun when there is no such
            run any more.

    Attributes:
        run_id: The run.

    Raises:
        TrainingError: Nothing answers under the URI, or MLflow refuses it.
    """

    run_id: str

    def __init__(
        self,
        uri: str,
        experiment: str,
        name: str,
        parameters: Mapping[str, Any],
        run_id: str | None = None,
    ) -> None:
        try:
            _check_reachable(uri)
            self._client = MlflowClient(tracking_uri=uri)
            last_steps = None if run_id is None else self._reopen(run_id)
            if run_id is None or last_steps is None:
                run_id, last_steps = self._begin(uri, experiment, name, parameters), {}
        except TrainingError:
            raise
        except Exception as problem:  # MLflow lets through whatever its stores raise
            raise TrainingError(f"tracking.mlflow_uri: cannot use {_public(uri)}: {problem}") from (
                problem
            )
        self.run_id = run_id
        self._last_steps = last_steps
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send, name="mlflow", daemon=True)
        self._thread.start()

    def _begin(self, uri: str, experiment: str, name: str, parameters: Mapping[str, Any]) -> str:
        found = self._client.get_experiment_by_name(experiment)
        identity = (
            self._client.create_experiment(experiment, artifact_location=_artifacts(uri))
            if found is None
            else found.experiment_id
        )
        run_id: str = self._client.create_run(identity, run_name=name).info.run_id
        params = _params(parameters)
        try:
            for start in range(0, len(params), _PARAMETERS_PER_CALL):
                self._client.log_batch(run_id, params=params[start : start + _PARAMETERS_PER_CALL])
        except BaseException as problem:
            with contextlib.suppress(Exception):  # a run that nobody will end
                self._client.delete_run(run_id)
            if not isinstance(problem, MlflowException) or problem.error_code not in _REFUSED:
                raise
            raise TrainingError(
                f"tracking: MLflow refuses the configuration as parameters of a run: {problem}"
            ) from problem
        return run_id

    def _reopen(self, run_id: str) -> dict[str, int] | None:
        """Goes on with a run.

        Returns:
            The last step of each metric that it has; None when it is there no more.
        """
        try:
            run = self._client.get_run(run_id)
        except MlflowException as problem:
            if problem.error_code != _NO_SUCH_RUN:
                raise
            return None
        if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
            return None
        self._client.update_run(run_id, status="RUNNING")
        return {
            name: max(point.step for point in self._client.get_metric_history(run_id, name))
            for name in run.data.metrics
        }

    def rewind(self, step: int) -> None:
        """Does nothing: MLflow forgets nothing, so what it has already is not sent again."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Sends figures, but for those that a resumed run has already."""
        now_ms = int(time.time() * 1e3)
        metrics = [
            Metric(_name(name, slash=True), value, now_ms, step)
            for name, value in values.items()
            if step > self._last_steps.get(_name(name, slash=True), -1)
        ]
        if metrics:
            self._queue.put(partial(self._client.log_batch, self.run_id, metrics))

    def log_bundle(self, bundle: PublishedBundle) -> None:
        """Sends the held-out figures, and the files of the bundle under `bundle/`."""
        metadata = bundle.metadata
        figures = {f"evaluation/{name}": it for name, it in metadata.evaluation.items()}
        self.log_metrics(figures, metadata.training.timesteps)
        tags = {"policy": metadata.name, "version": metadata.version, "sha256": metadata.sha256}
        for name, value in tags.items():
            tag = partial(self._client.set_tag, self.run_id, f"tradewind.{name}", value)
            self._queue.put(tag)
        files = partial(self._client.log_artifacts, self.run_id, str(bundle.path), "bundle")
        self._queue.put(files)

    def close(self, outcome: Outcome) -> None:
        """Ends the run, once everything is sent or patience has run out."""
        self._queue.put(partial(self._client.set_terminated, self.run_id, outcome))
        self._queue.put(None)
        self._thread.join(_PATIENCE_S[outcome])
        if self._thread.is_alive():
            _LOG.warning("MLflow is too slow: the end of run %s may be missing", self.run_id)

    def _send(self) -> None:
        while (do := self._queue.get()) is not None:
            try:
                do()
            except Exception as problem:
                _LOG.warning(
                    "MLflow failed, the training goes on without it; run %s is incomplete: %s",
                    self.run_id,
                    problem,
                )
                return


def _check_reachable(uri: str) -> None:
    """Connects once: MLflow itself would try for minutes."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.hostname is not None:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_TIMEOUT_S).close()


def _artifacts(uri: str) -> str | None:
    """Where a new experiment keeps files: beside an SQLite database, else where the server says."""
    parts = urlsplit(uri)
    if parts.scheme != "sqlite":
        return None
    return (Path(unquote(parts.path[1:])).absolute().parent / "mlartifacts").as_uri()


def _public(uri: str) -> str:
    """The URI without the password that it may hold."""
    parts = urlsplit(uri)
    return uri if parts.password is None else uri.replace(f":{parts.password}@", ":***@")


def _params(parameters: Mapping[str, Any]) -> list[Param]:
    """The configuration as MLflow takes it: names of its characters, and nothing too long."""
    return [
        Param(_name(key), _shortened(str(value), MAX_PARAM_VAL_LENGTH))
        for key, value in _flatten(parameters)
    ]


def _name(key: str, *, slash: bool = False) -> str:
    """A key with what MLflow refuses in a name as hexadecimal numbers: `^GSPC` is `:5E:GSPC`.

    A slash makes a path of the name of a parameter, which has to be a plain one.
    """
    taken = re.sub(
        r"[^\w.\- /]" if slash else r"[^\w.\- ]", lambda found: f":{ord(found[0]):X}:", key
    )
    return _shortened(taken, MAX_ENTITY_KEY_LENGTH)


def _shortened(text: str, most: int) -> str:
    """A text as it is, or its beginning and a digest of the whole."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: most - len(digest) - 1]} {digest}"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
