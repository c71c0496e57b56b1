"""Figures of a training as lines of JSON: a tracker from outside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tradewind.bundle import PublishedBundle
from trainer_service import TrackedRun, Tracker, TrackerSettings


class JsonLines(TrackerSettings):
    """Writes one file a run."""

    folder: Path
    """Files are called <policy>-<run>.jsonl in it."""

    def open(self, run: TrackedRun) -> Tracker:
        """Begins the file, or goes on with it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{run.policy}-{run.name}.jsonl"
        tracker = JsonLinesTracker(path)
        if not run.resumed:
            tracker.write({"parameters": run.parameters})
        return tracker


class JsonLinesTracker(Tracker):
    """Appends to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, line: Mapping[str, Any]) -> None:
        """Appends a line."""
        with self._path.open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def rewind(self, step: int) -> None:
        """Drops what came after a step: the training goes on from there."""
        lines = self._path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line).get("step", -1) <= step]
        self._path.write_text("".join(kept))

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Writes figures."""
        self.write({"step": step, **values})

    def log_bundle(self, bundle: PublishedBundle) -> None:
        """Writes what the bundle is called, and its figures."""
        self.write({"bundle": bundle.metadata.version, "evaluation": bundle.metadata.evaluation})

    def close(self, outcome: str) -> None:
        """Writes how the training ended."""
        self.write({"outcome": outcome})
