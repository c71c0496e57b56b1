"""The locustfile against real services: right answers pass, and a wrong one of any kind fails."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.load.locust_process import LocustProcess
from tests.load.questions import Questions
from tests.load.report import failures
from tests.load.results import OK, WRONG, Calls
from tests.load.stage import Stage
from tradewind.bundle import BundleDraft, FeatureRecord, TrainingRecord
from tradewind.market import FeatureSpec, TradingTerms
from tradewind.rpc.clients import TrainerClient

# Six components, as many as the released tiny policy takes.
SPEC = FeatureSpec(
    return_count=2,
    volatility_windows=(),
    rsi_period=None,
    ema_periods=(4,),
    ema_depth=1,
    vwap_window=None,
    time_of_day=False,
)
METHODS = {
    "CalculateOnly",
    "Evaluate",
    "GetPolicy",
    "GetTrainingJob",
    "ListPolicies",
    "ListTrainingJobs",
    "Predict",
    "PredictBatch",
    "PredictStream",
}
PATIENCE_S = 60.0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path, workers=2) as running:
        yield running


@pytest.fixture
def questions(stage: Stage, released_draft: Callable[..., BundleDraft]) -> Questions:
    """Those of a released policy, given real features and terms; its job is cancelled at once."""
    draft = released_draft(
        features=FeatureRecord(spec=SPEC.model_dump(mode="json"), digest=SPEC.digest),
        training=TrainingRecord(
            timesteps=1, config={"environment": TradingTerms().model_dump(mode="json")}
        ),
        risk=None,
    )
    version = stage.stack.store.publish(draft).metadata.version
    with TrainerClient(stage.stack.addresses["trainer_service"], timeout_s=PATIENCE_S) as trainer:
        config = {"algorithm": "DQN", "training_params": {"total_timesteps": 1_000_000}}
        job = trainer.start_training("unfinished", config)
        trainer.cancel(job.job_id)
    return stage.questions(draft.name, version, job.job_id)


def plant_wrong_answers(questions: Questions) -> Questions:
    """Expects another action, one metric that differs in its last bit, and another decision."""
    accounts = []
    for account in questions.accounts:
        name, value = next(iter(account.metric_values.items()))
        metrics = {**account.metric_values, name: float(np.nextafter(value, np.inf))}
        accounts.append(replace(account, metric_values=metrics))
    actions = questions.actions.copy()
    actions[::2] = (actions[::2] + 1) % 3
    return replace(
        questions,
        actions=actions,
        accounts=tuple(accounts),
        halted_account="never-halted",
        job_id="no-such-job",
    )


@pytest.mark.slow
def test_locustfile_with_right_answers_has_no_failure_and_with_wrong_ones_reports_each(
    stage: Stage, questions: Questions, tmp_path: Path
) -> None:
    def run(asked: Questions, seconds: float) -> tuple[LocustProcess, Calls]:
        folder = tmp_path / f"locust-{time.monotonic_ns()}"
        html = folder / "locust.html"
        locust = LocustProcess(
            folder, stage.stack.addresses, asked, users=4, rate=50.0, seconds=seconds, html=html
        )
        calls = locust.wait(PATIENCE_S)
        assert "Orchestrator" in html.read_text()
        return locust, calls

    locust, calls = run(questions, 4.0)
    assert failures(calls) == []
    assert locust.popen.returncode == 0
    assert set(calls.names.tolist()) == METHODS
    measured = stage.latency_reports(questions.policy)
    unary_and_streamed = len(calls.named("Predict", "PredictStream"))
    # Each of the four users may have been stopped while it waited for an answer.
    assert 0 <= sum(report.call_count for report in measured) - unary_and_streamed <= 4

    locust, calls = run(plant_wrong_answers(questions), 2.0)
    assert locust.popen.returncode == 1
    wrong = calls.with_outcome(WRONG)
    assert {"Predict", "PredictBatch", "PredictStream", "CalculateOnly", "Evaluate"} <= set(
        wrong.names.tolist()
    )
    predictions = calls.named("Predict")
    assert 0 < len(predictions.with_outcome(OK)) < len(predictions), "half of them are right"
    assert len(calls.named("CalculateOnly").with_outcome(OK)) == 0
    assert set(calls.named("GetTrainingJob").outcomes.tolist()) == {"NOT_FOUND"}
