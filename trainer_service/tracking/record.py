"""Which run a training is followed in: what a resumed training needs to go on with it."""

from pathlib import Path

from pydantic import Field, ValidationError

from tradewind.errors import StorageError
from tradewind.settings import Settings

__all__ = ["RunRecord"]


class RunRecord(Settings):
    """Names one run; kept beside the checkpoints of its training."""

    name: str
    """Name of the run: the TensorBoard folder, and part of the MLflow run's name."""

    run_ids: dict[str, str] = Field(default_factory=dict)
    """What trackers call it, by the key that each is set under."""

    mlflow_run_id: str | None = None
    """The same of MLflow, in records of releases that knew no other."""

    @property
    def ids(self) -> dict[str, str]:
        """What trackers call the run, whichever release wrote the record."""
        older = {} if self.mlflow_run_id is None else {"mlflow": self.mlflow_run_id}
        return older | self.run_ids

    @classmethod
    def read(cls, path: Path) -> "RunRecord | None":
        """Reads the record that `write` left; None when there is none that is whole."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, path: Path) -> None:
        """Leaves the record for whoever resumes the training.

        Raises:
            StorageError: The folder cannot be written.
        """
        temporary = path.with_suffix(".tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(self.model_dump_json())
            temporary.replace(path)
        except OSError as problem:
            raise StorageError(f"cannot write {path}: {problem}") from problem
