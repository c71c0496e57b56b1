"""Training jobs over the wire: the same value on both sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.api.trainer.v1 import trainer_pb2
from tradewind.errors import RpcError
from tradewind.jobs import TrainingJob, TrainingProgress
from tradewind.rpc.codecs.trainer import read_job, write_job

texts = st.text(max_size=8)
counts = st.integers(0, 2**31 - 1)
numbers = st.floats(allow_nan=False)
progress = st.builds(
    TrainingProgress,
    timesteps_done=counts,
    timesteps_total=counts,
    steps_per_second=numbers,
    elapsed_s=numbers,
    metrics=st.dictionaries(texts, numbers, max_size=2),
)
jobs = st.builds(
    TrainingJob,
    job_id=texts,
    policy=texts,
    config_json=texts,
    progress=progress,
    created_at=numbers,
    request_id=texts,
    traceparent=texts,
    cancel_requested=st.booleans(),
    attempts=counts,
    resumes=counts,
    checkpoint_timesteps=counts,
    notes=st.lists(texts, max_size=2).map(tuple),
)


@given(jobs)
def test_message_of_a_job_reads_back_equal(job: TrainingJob) -> None:
    wire = write_job(job).SerializeToString()
    assert read_job(trainer_pb2.TrainingJob.FromString(wire)) == job


@pytest.mark.parametrize(("field", "value"), [("state", 77), ("phase", "distilling")])
def test_message_of_a_newer_service_is_an_rpc_error_with_what_is_unknown(
    field: str, value: int | str
) -> None:
    message = write_job(TrainingJob("one", "policy", "{}"))
    setattr(message if field == "state" else message.progress, field, value)
    with pytest.raises(RpcError, match=f"{value}.*unknown here"):
        read_job(message)
