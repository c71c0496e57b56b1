"""Which run a training is followed in: what a resumed training needs to go on with it."""

from pathlib import Path

from pydantic import ValidationError

from tradewind.errors import StorageError
from tradewind.settings import Settings

__all__ = ["RunRecord"]


class RunRecord(Settings):
    """Names one run; kept beside the checkpoints of its training.

    Attributes:
        name: Name of the run: the TensorBoard folder, and part of the MLflow run's name.
        mlflow_run_id: None without MLflow.
    """

    name: str
    mlflow_run_id: str | None = None

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
