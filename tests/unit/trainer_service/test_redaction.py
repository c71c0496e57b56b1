"""What is said of files that a caller named."""

from pathlib import Path

import pytest

from tradewind.errors import MarketDataError
from trainer_service.training.config import DataConfig, JobConfig
from trainer_service.training.workspace import make_environment

HEADER = "timestamp,open,high,low,close,volume\n"


def job(path: Path) -> JobConfig:
    return JobConfig(
        algorithm="PPO",
        training_params={"total_timesteps": 64},
        data=DataConfig(symbol="X", path=path),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "user,password\nroot,hunter2\n"),
        ("a.csv", "hunter2\n"),
        ("a.csv", f"{HEADER}hunter2,1,1,1,1,1\n"),
        ("a.csv", f"{HEADER}1500000000,1,1,1,hunter2,1\n"),
        ("a.csv", f"{HEADER}1500000000,hunter2\n"),
        ("a.csv", f"{HEADER}1500000000,1,1,1,1,1,hunter2,hunter2\n"),
        ("a.csv", f"{HEADER[:-1]},hunter2,hunter2,close\n1,1,1,1,1,1,1,1,1\n"),
        ("a.parquet", "hunter2 and nothing of Parquet"),
        ("a.csv.gz", "hunter2, not compressed"),
        ("a.txt", "hunter2"),
        ("a.csv", "hunter2\x00\xff"),
    ],
)
def test_bars_that_are_none_are_refused_without_a_word_of_theirs(
    tmp_path: Path, name: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="latin-1")
    with pytest.raises(MarketDataError, match="cannot be read as bars") as refusal:
        make_environment(job(path), quote_files=False)
    assert "hunter" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert caplog.records
    with pytest.raises(Exception) as quoting:  # noqa: PT011 - whoever runs it may read it
        make_environment(job(path))
    assert str(quoting.value) != str(refusal.value)


def test_bars_with_a_defect_name_its_row_column_and_rule(tmp_path: Path) -> None:
    rows = [f"{1_500_000_000 + 1800 * row},10,11,9,10,5" for row in range(5)]
    rows[2] = "1500003600,10,8,9,10,5"
    rows[3] = "1500003600,10,11,9,10,5"
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    with pytest.raises(MarketDataError) as refusal:
        make_environment(job(path), quote_files=False)
    found = {item.field: item.description for item in refusal.value.violations}
    assert found["line 4, high"] == "is below the open, low or close of its bar"
    assert found["line 5, timestamp"] == "repeats the time of the row before it"


def test_bars_that_are_too_few_are_still_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{1_500_000_000 + 1800 * row},10,11,9,10,5" for row in range(5)]
    path.write_text(HEADER + "\n".join(rows) + "\n")
    with pytest.raises(MarketDataError, match="5 bars of X are too few"):
        make_environment(job(path), quote_files=False)
