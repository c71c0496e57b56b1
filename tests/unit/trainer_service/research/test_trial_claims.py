"""Searches of several processes: the number of trials is exact and no draw comes twice."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from trainer_service.research.trial_claims import TrialClaims, interrupted_trials, search_lock

LIMIT = 6
PROCESSES = 3
# What `tune` does, with a training that takes no time.
SEARCH = """
import sys, time
from pathlib import Path
import optuna
from trainer_service.research.trial_claims import TrialClaims, search_lock

optuna.logging.set_verbosity(optuna.logging.ERROR)
folder, limit, hang_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with search_lock(folder):
    study = optuna.create_study(
        study_name="s", storage=f"sqlite:///{folder / 's.sqlite'}", load_if_exists=True)
claims = TrialClaims(study, folder, limit, seed=0)
done = 0
while True:
    with claims.claim() as trial:
        if trial is None:
            break
        x = trial.suggest_float("x", 0.0, 1.0)
        if done == hang_at:
            print("hangs", flush=True)
            time.sleep(600)
        study.tell(trial, x)
        done += 1
print(done)
"""


def start(folder: Path, limit: int, hang_at: int = -1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SEARCH, str(folder), str(limit), str(hang_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def load(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{folder / 's.sqlite'}")


def draws(study: optuna.Study, states: Sequence[TrialState]) -> list[float]:
    return [trial.params["x"] for trial in study.get_trials(states=states)]


def test_claims_of_three_processes_with_one_killed_run_exactly_as_many_with_distinct_draws(
    tmp_path: Path,
) -> None:
    killed = start(tmp_path, LIMIT, hang_at=1)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "hangs\n"
    others = [start(tmp_path, LIMIT) for _ in range(PROCESSES - 1)]
    killed.kill()
    killed.communicate()

    counts = [int(process.communicate(timeout=120)[0]) for process in others]

    assert [process.returncode for process in others] == [0] * (PROCESSES - 1)
    study = load(tmp_path)
    assert sum(counts) == LIMIT - 1  # one was done before the kill
    assert interrupted_trials(study) == {1}
    assert len(study.trials) == LIMIT + 1
    assert len(set(draws(study, [TrialState.COMPLETE]))) == LIMIT
    assert not list(tmp_path.glob("trial-*.lock"))


def test_claim_with_an_exception_in_its_block_is_made_up_for(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 's.sqlite'}")
    claims = TrialClaims(study, tmp_path, limit=1, seed=0)

    with pytest.raises(KeyboardInterrupt), claims.claim() as trial:
        raise KeyboardInterrupt
    assert interrupted_trials(study) == {0}
    with claims.claim() as trial:
        assert trial is not None
        study.tell(trial, 0.5)
    with claims.claim() as trial:
        assert trial is None

    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_claim_draws_by_the_seed_and_the_number_of_the_trial(tmp_path: Path) -> None:
    found: dict[int, list[float]] = {}
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        folder = tmp_path / name
        folder.mkdir()
        with search_lock(folder):
            study = optuna.create_study(storage=f"sqlite:///{folder / 's.sqlite'}")
        claims = TrialClaims(study, folder, limit=2, seed=seed)
        for _ in range(2):
            with claims.claim() as trial:
                assert trial is not None
                study.tell(trial, trial.suggest_float("x", 0.0, 1.0))
        drawn = draws(study, [TrialState.COMPLETE])
        assert found.setdefault(seed, drawn) == drawn

    assert len({*found[0], *found[1]}) == 4
