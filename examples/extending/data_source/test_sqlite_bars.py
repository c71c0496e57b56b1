"""The source gives the bars that lie in the table, and a training takes them by its name."""

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tradewind.errors import ComponentError, SettingsError
from tradewind.market import load_sample
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import make_environment

BARS = load_sample("LTC").slice(0, 1_000)


def job(folder: Path, **options: str) -> JobConfig:
    rules = folder / "risk.yaml"
    rules.write_text("{monitor_only: true}")
    values = {
        "algorithm": "DQN",
        "algo_params": {"learning_starts": 10},
        "training_params": {"total_timesteps": 100},
        "risk_config": {"policy_yaml": str(rules)},
        "data": {"source": {"kind": "sqlite", "options": {"symbol": "LTC", **options}}},
    }
    return parse_training_config(values, JobConfig)


def test_environment_trades_the_bars_of_the_table(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.sqlite"
    columns = (BARS.timestamps_ns / 1e9, BARS.open, BARS.high, BARS.low, BARS.close, BARS.volume)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE ltc (time, open, high, low, close, volume)")
        rows = np.column_stack(columns)[::-1].tolist()
        connection.executemany("INSERT INTO ltc VALUES (?, ?, ?, ?, ?, ?)", rows)

    env = make_environment(job(tmp_path, database=str(path), table="ltc"))

    assert env.bars.digest == BARS.digest
    assert JobConfig.model_validate_json(
        job(tmp_path, database="x", table="y").model_dump_json()
    ).data.source


def test_source_that_fails_or_is_set_wrongly_is_refused_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=r"data\.source: load\(\) of sqlite raised Oper"):
        make_environment(job(tmp_path, database=str(tmp_path / "none.sqlite"), table="ltc"))
    with pytest.raises(SettingsError, match=r"data\.source: .*table"):
        job(tmp_path, database="x", table="ltc; DROP TABLE ltc")
