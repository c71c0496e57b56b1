"""Both inference clients against a real server."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integration.rpc.conftest import STORE, Connect
from tradewind import errors
from tradewind.bundle import BundleMetadata, read_bundle
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import (
    AsyncInferenceClient,
    AsyncPredictStream,
    InferenceClient,
    Prediction,
)

VERSION = "2026-11-22.1"
POLICIES = ("tiny-dqn", "tiny-sac", "tiny-td3")
GOLDEN = {name: read_bundle(STORE / name / VERSION).golden for name in POLICIES}
OBSERVATION = GOLDEN["tiny-dqn"].observations[0]


@pytest.fixture
def client(connect: Connect, inference_address: str) -> Any:
    return connect(InferenceClient, AsyncInferenceClient, inference_address, timeout_s=20)


def test_predict_with_each_kind_of_action_gives_the_golden_answers(client: Any) -> None:
    client.wait_ready(20)
    for name, golden in GOLDEN.items():
        single = client.predict(golden.observations[0], policy=name)
        assert (single.policy, single.version) == (name, VERSION)
        assert single.model_compute_ns > 0
        np.testing.assert_allclose(single.action, golden.actions[0], atol=1e-5)

        batch = client.predict_batch(golden.observations, policy=name)
        assert (batch.policy, batch.version) == (name, VERSION)
        assert batch.actions.dtype == golden.actions.dtype
        assert batch.actions.shape == golden.actions.shape
        np.testing.assert_allclose(batch.actions, golden.actions, atol=1e-5)

        with client.predict_stream() as stream:
            for observation, action in zip(golden.observations, golden.actions, strict=True):
                answer = stream.predict(observation, policy=name)
                assert isinstance(answer, Prediction)
                np.testing.assert_allclose(answer.action, action, atol=1e-5)


def test_predict_with_a_seed_repeats_itself_on_a_stream(client: Any) -> None:
    once = client.predict(OBSERVATION, policy="tiny-sac", seed=7).action
    with client.predict_stream() as stream:
        np.testing.assert_array_equal(
            stream.predict(OBSERVATION, policy="tiny-sac", seed=7).action, once
        )
    rows = client.predict_batch(np.tile(OBSERVATION, (3, 1)), policy="tiny-sac", seed=7).actions
    assert len(np.unique(rows, axis=0)) == 3


def test_descriptions_say_what_the_bundles_say(client: Any) -> None:
    listing = client.list_policies()
    assert {item.policy for item in listing.policy_versions} == set(POLICIES)
    assert listing.quarantined_versions == ()
    for name in POLICIES:
        described = client.get_policy(name)
        metadata = BundleMetadata.from_json(described.metadata_json.encode())
        assert described.policy_version.bundle_sha256 == metadata.sha256
        assert described.policy_version.observation_space == metadata.obs_space
        assert described.policy_version.action_space == metadata.action_space
        client.predict(GOLDEN[name].observations[0], policy=name)
        (report,) = client.latency_reports(name, VERSION)
        assert report.call_count > 0
        assert 0 < report.p50_us <= report.p9999_us <= report.max_us


@pytest.mark.parametrize(
    ("observation", "field"),
    [
        (OBSERVATION[:-1], "values_f32_le"),
        (np.full_like(OBSERVATION, np.nan), "values_f32_le"),
        (["six", "numbers"], "observation"),
        ([[1.0], [2.0, 3.0]], "observation"),
    ],
)
def test_predict_with_a_bad_observation_names_the_field(
    client: Any, observation: Any, field: str
) -> None:
    with pytest.raises(errors.ObservationError) as refused:
        client.predict(observation, policy="tiny-dqn")
    assert [violation.field for violation in refused.value.violations] == [field]


def test_predict_batch_with_a_single_row_that_is_no_batch_is_refused(client: Any) -> None:
    with pytest.raises(errors.ObservationError, match=r"observations: .*\[N, \*shape\]"):
        client.predict_batch(OBSERVATION, policy="tiny-dqn")
    with pytest.raises(errors.ObservationError, match="observation_count: 0"):
        client.predict_batch(OBSERVATION[None][:0], policy="tiny-dqn")


def test_predict_with_an_unknown_name_says_which(client: Any) -> None:
    with pytest.raises(errors.PolicyNotFoundError, match="nobody"):
        client.predict(OBSERVATION, policy="nobody")
    with pytest.raises(errors.VersionNotFoundError, match=r"2020-01-01\.1"):
        client.predict(OBSERVATION, policy="tiny-dqn", version="2020-01-01.1")


def test_stream_with_a_refused_request_ends_and_keeps_saying_why(client: Any) -> None:
    with client.predict_stream() as stream:
        # What is refused before it is sent costs the stream nothing.
        with pytest.raises(errors.ObservationError):
            stream.predict(["six"], policy="tiny-dqn")
        stream.predict(OBSERVATION, policy="tiny-dqn")
        with pytest.raises(errors.ObservationError) as refused:
            stream.predict(OBSERVATION[:-1], policy="tiny-dqn")
        with pytest.raises(errors.ObservationError) as again:
            stream.predict(OBSERVATION, policy="tiny-dqn")
    assert again.value is refused.value
    assert refused.value.violations[0].field == "predict.values_f32_le"


def test_closed_stream_says_that_it_is_closed(client: Any) -> None:
    with client.predict_stream() as stream:
        stream.predict(OBSERVATION, policy="tiny-dqn")
    with pytest.raises(errors.UnavailableError, match="PredictStream is closed"):
        stream.predict(OBSERVATION, policy="tiny-dqn")


def test_stream_with_many_tasks_gives_each_its_own_answer(inference_address: str) -> None:
    golden = GOLDEN["tiny-sac"]

    async def ask(stream: AsyncPredictStream, row: int) -> None:
        answer = await stream.predict(golden.observations[row], policy="tiny-sac")
        np.testing.assert_allclose(answer.action, golden.actions[row], atol=1e-5)

    async def run() -> None:
        async with AsyncInferenceClient(inference_address) as client:
            async with client.predict_stream() as stream:
                await asyncio.gather(*(ask(stream, row) for row in range(len(golden.actions))))

    asyncio.run(run())


def test_stream_with_a_server_that_dies_raises_ours(connect: Connect, tmp_path: Path) -> None:
    flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "", "--store", str(STORE)]
    with ServiceProcess("inference_service", flags, log=tmp_path / "log") as process:
        client = connect(InferenceClient, AsyncInferenceClient, process.address, timeout_s=20)
        with client.predict_stream() as stream:
            stream.predict(OBSERVATION, policy="tiny-dqn")
            process.popen.kill()
            process.popen.wait()
            with pytest.raises(errors.UnavailableError) as broken:
                stream.predict(OBSERVATION, policy="tiny-dqn")
            with pytest.raises(errors.UnavailableError) as again:
                stream.predict(OBSERVATION, policy="tiny-dqn")
        assert again.value is broken.value
        with pytest.raises(errors.UnavailableError, match=process.address):
            client.predict(OBSERVATION, policy="tiny-dqn")
