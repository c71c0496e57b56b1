"""The tracker is told all that a training logs, and goes on with it after a crash."""

import json
from pathlib import Path
from typing import Any

import pytest

from tradewind.errors import SettingsError
from tradewind.settings import parse_settings
from trainer_service.tracking import TrackingConfig, open_trackers


def lines(folder: Path) -> list[dict[str, Any]]:
    (path,) = folder.glob("tiny-*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("kind", ["json_lines", "json_lines_tracker:JsonLines"])
def test_training_that_goes_on_after_a_crash_is_one_file_with_each_step_once(
    tmp_path: Path, kind: str
) -> None:
    named = {"kind": kind, "options": {"folder": str(tmp_path / "curves")}}
    values = {"tensorboard": None, "trackers": [named]}
    config = parse_settings(values, TrackingConfig)
    record = tmp_path / "run.json"
    for last_step in (0, 10):
        with open_trackers(config, "tiny", {"seed": 3}, record) as trackers:
            trackers.set_state(last_step)
            for step in (last_step + 10, last_step + 20):
                trackers.write({"train/loss": 1.0 / step}, {"train/loss": ()}, step=step)
    written = lines(tmp_path / "curves")
    assert written[0] == {"parameters": {"seed": 3}}
    assert [line["step"] for line in written if "step" in line] == [10, 20, 30]
    assert written[-1] == {"outcome": "FINISHED"}


def test_options_of_the_tracker_are_checked_as_all_others() -> None:
    named = {"kind": "json_lines", "options": {"foldr": "curves"}}
    with pytest.raises(SettingsError, match=r"trackers\[0\].*foldr"):
        parse_settings({"trackers": [named]}, TrackingConfig)
