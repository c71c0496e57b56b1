"""`tradewind tune`: a real search over real trainings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainer_service.training.config import JobConfig, parse_training_config

Run = Callable[..., Any]
SEARCH: dict[str, Any] = {
    "search": {
        "algo_params.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "algo_params.policy_kwargs.net_arch": {"choices": [[8], [16, 8]]},
        "algo_params.n_epochs": {"low": 1, "high": 3},
    },
    "objective": "return",
    "trials": 2,
}


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: Any) -> Path:
        path = tmp_path / "search.yaml"
        path.write_text(yaml.safe_dump(SEARCH | changes))
        return path

    return write


def test_tune_with_an_interruption_goes_on_and_writes_the_best(
    run: Run, tiny_config: Path, search: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "tune"
    command = ("tune", tiny_config, "--search", search(), "--output", folder, "--json")
    first = run(*command, "--trials", "1").document
    assert (first["completed"], first["failed"]) == (1, 0)
    result = run(*command).document
    assert result["completed"] == 2
    assert result["values"]["algo_params.policy_kwargs.net_arch"] in ([8], [16, 8])
    assert isinstance(result["values"]["algo_params.n_epochs"], int)

    best = parse_training_config(yaml.safe_load(Path(result["best"]).read_text()), JobConfig)
    assert best.algo_params["learning_rate"] == result["values"]["algo_params.learning_rate"]
    assert best.training_params.held_out_fraction == 0.02
    assert best.evaluation.trials == 2

    # Its trials are no measure for another objective.
    other = run(*command[:3], search(objective="max_drawdown"), *command[4:])
    assert other.code == 2
    assert "another configuration" in other.document["error"]["message"]


def test_tune_with_too_risky_trials_prunes_them(
    run: Run, tiny_config: Path, search: Callable[..., Path], tmp_path: Path
) -> None:
    # A limit that any account reaches; the score is judged once every limit has its window.
    policy = tmp_path / "limits.yaml"
    policy.write_text(
        "{limits: {max_drawdown: {limit: 0.000001, weight: 1.0}}, monitor_only: true}\n"
    )
    outcome = run(
        *("tune", tiny_config, "--search", search(max_risk_score=0.5, warm_up_timesteps=0)),
        *("--output", tmp_path / "tune", "--set", "risk_config.enabled=true"),
        *("--set", f"risk_config.policy_yaml={policy}"),
        *("--set", "risk_config.early_stop_threshold=null"),
    )
    assert outcome.code == 1
    assert "none of 2 trials could be judged" in outcome.err
    assert "pruned" in outcome.err


def test_tune_with_an_unknown_key_or_objective_is_refused(
    run: Run, tiny_config: Path, search: Callable[..., Path], tmp_path: Path
) -> None:
    command = ("tune", tiny_config, "--output", tmp_path / "tune", "--json", "--search")
    unknown_key = run(*command, search(search={"algo_params.lr": {"choices": [1]}}))
    assert unknown_key.code == 2
    assert unknown_key.document["error"]["violations"][0]["field"] == "search.algo_params.lr"
    unknown_objective = run(*command, search(objective="luck"))
    assert unknown_objective.code == 2
    assert "max_drawdown" in unknown_objective.document["error"]["message"]


@pytest.mark.parametrize(
    "bad",
    [
        {"low": 1},
        {"low": 2, "high": 1},
        {"low": 0, "high": 1, "log": True},
        {"choices": []},
        {"choices": [1], "low": 0, "high": 1},
        {"choices": [1], "log": True},
        {},
    ],
)
def test_tune_with_an_impossible_range_is_refused_before_the_first_trial(
    run: Run, tiny_config: Path, search: Callable[..., Path], tmp_path: Path, bad: Any
) -> None:
    path = search(search={"algo_params.gamma": bad})
    outcome = run("tune", tiny_config, "--search", path, "--output", tmp_path / "tune")
    assert outcome.code == 2
    assert "algo_params.gamma" in outcome.err
    assert not (tmp_path / "tune").exists()
