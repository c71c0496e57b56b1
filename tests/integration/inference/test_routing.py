"""Variants of a policy in real servers: shares, sticky keys, shadows, and canaries taken out."""

import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml

from tests.unit.alerts.test_alerts import Receiver
from tradewind import errors
from tradewind.api.open_inference import grpc_predict_v2_pb2 as open_inference
from tradewind.api.open_inference import grpc_predict_v2_pb2_grpc
from tradewind.bundle import BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient, Routing

Publish = Callable[..., str]
Serve = Callable[..., ServiceProcess]
Connect = Callable[[ServiceProcess], InferenceClient]
WaitUntil = Callable[[Callable[[], bool]], None]

POLICY = "tiny-dqn"
OBSERVATION = np.zeros(6, np.float32)
KEYS = [f"account-{number}" for number in range(400)]
FEW_KEYS = KEYS[:100]


def write(store: BundleStore, variants: list[dict[str, Any]], **more: Any) -> None:
    """Replaces the routing file of one policy."""
    routing = {"policies": {POLICY: {"variants": variants, **more}}}
    (store.root / "new.yaml").write_text(yaml.safe_dump(routing))
    (store.root / "new.yaml").rename(store.root / "routing.yaml")


def variant(name: str, target: str, weight: float, **bounds: Any) -> dict[str, Any]:
    return {"name": name, "target": target, "weight": weight} | (
        {"bounds": bounds} if bounds else {}
    )


def answers_by_key(
    client: InferenceClient, keys: Sequence[str] = KEYS
) -> dict[str, tuple[str, str]]:
    """Variant and version by routing key."""
    found = {}
    for key in keys:
        answer = client.predict(OBSERVATION, policy=POLICY, routing_key=key)
        found[key] = (answer.variant, answer.version)
    return found


def is_refused(client: InferenceClient, complaint: str) -> bool:
    return complaint in client.get_routing().refusal


def metrics(server: ServiceProcess) -> str:
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics") as page:
        text: str = page.read().decode()
        return text


def state(client: InferenceClient, name: str) -> str:
    found = client.get_routing(POLICY).variant(POLICY, name)
    assert found is not None
    return found.state


def share(routing: Routing, name: str) -> float:
    found = routing.variant(POLICY, name)
    assert found is not None
    return found.share


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_routed_policy_shares_its_calls_and_follows_its_file(
    store: BundleStore,
    publish: Publish,
    serve: Serve,
    connect: Connect,
    wait_until: WaitUntil,
) -> None:
    steady, bold, latest = publish(), publish(), publish()
    write(
        store,
        [variant("steady", steady, 75), variant("bold", bold, 25)],
        shadows=[{"name": "next", "target": "served"}],
    )
    server = serve()
    client = connect(server)

    # The weights are followed: 400 keys, 100 ± 4.6 standard deviations. The same key, the same one.
    by_key = answers_by_key(client)
    assert set(by_key.values()) == {("steady", steady), ("bold", bold)}
    assert 60 <= Counter(name for name, _ in by_key.values())["bold"] <= 140
    assert answers_by_key(client) == by_key
    anyone = Counter(client.predict(OBSERVATION, policy=POLICY).variant for _ in range(400))
    assert 60 <= anyone["bold"] <= 140
    (key,) = [key for key, (name, _) in by_key.items() if name == "bold"][:1]
    batch = client.predict_batch([OBSERVATION, OBSERVATION], policy=POLICY, routing_key=key)
    assert (batch.variant, batch.version) == ("bold", bold)
    with client.predict_stream() as stream:
        assert stream.predict(OBSERVATION, policy=POLICY, routing_key=key).variant == "bold"
    with grpc.insecure_channel(server.address) as channel:
        request = open_inference.ModelInferRequest(model_name=POLICY)
        request.parameters["routing_key"].string_param = key
        request.inputs.add(name="observation", datatype="FP32", shape=[1, 6])
        request.raw_input_contents.append(OBSERVATION.tobytes())
        infer = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        answer = infer(request, timeout=20.0)
    assert answer.parameters["variant"].string_param == "bold"
    assert answer.model_version == bold

    # A version or a label goes past the routing; what describes the policy is its champion.
    named = client.predict(OBSERVATION, policy=POLICY, version=latest, routing_key=key)
    assert (named.variant, named.version) == ("", latest)
    labelled = client.predict(OBSERVATION, policy=POLICY, label="served", routing_key=key)
    assert (labelled.variant, labelled.version) == ("", latest)
    assert client.get_policy(POLICY).policy_version.version == steady

    # The shadow answered every call beside the variant that did, and gave none of them.
    client.predict(OBSERVATION, policy=POLICY, routing_key=key, request_id="last")
    wait_until(lambda: client.shadow_answers(POLICY, "next")[0].request_id == "last")
    (shadowed, *_) = client.shadow_answers(POLICY, "next")
    assert (shadowed.shadow_version, shadowed.variant) == (latest, "bold")
    assert (shadowed.routing_key, shadowed.row_count) == (key, 1)
    assert shadowed.actions == shadowed.shadow_actions != ()
    assert client.shadow_answers(POLICY, differing_only=True) == ()

    # New weights are followed without a restart, and move no key but to the variant that gained.
    write(store, [variant("steady", steady, 0.5), variant("bold", bold, 0.5)])
    wait_until(lambda: share(client.get_routing(POLICY), "bold") == 0.5)
    moved = answers_by_key(client)
    changes = {(by_key[key][0], moved[key][0]) for key in KEYS if by_key[key] != moved[key]}
    assert changes == {("steady", "bold")}

    # A bad file is refused, with each line that is wrong; the last good one stays in force.
    for variants, complaint in (
        ([variant("steady", steady, 0.5), variant("bold", bold, 0.4)], "add up to 0.9 instead of"),
        ([variant("steady", "2099-01-01.1", 1.0)], r"variants[0].target: version 2099-01-01.1"),
        ([variant("steady", "no-such-label", 1.0)], "has no label 'no-such-label', only served"),
        ([variant("steady", "no-such/served", 1.0)], "policy 'no-such' is not in the store"),
        ([{**variant("steady", steady, 1.0), "wieght": 1}], "wieght: Extra inputs are not"),
    ):
        write(store, variants)
        wait_until(partial(is_refused, client, complaint))
        assert "(line " in client.list_policies().routing.refusal
        assert answers_by_key(client, FEW_KEYS) == {key: moved[key] for key in FEW_KEYS}
    assert "tradewind_inference_routing_refused 1.0" in metrics(server)
    assert "add up to 0.9 instead of 1 or 100" in server.log_tail(100)

    # A challenger that cannot answer takes no traffic; the answer says who stood in.
    broken = publish(policy_pt=b"no network")
    write(store, [variant("steady", steady, 0.5), variant("bold", broken, 0.5)])
    wait_until(lambda: state(client, "bold") == "QUARANTINED")
    assert set(answers_by_key(client, FEW_KEYS).values()) == {("steady", steady)}
    assert share(client.get_routing(POLICY), "steady") == 1.0
    failovers = f'tradewind_inference_variant_failovers_total{{policy="{POLICY}",variant="bold"}}'
    assert int(float(metrics(server).split(f"{failovers} ")[1].split()[0])) > 25

    # A champion that cannot answer does not replace one that can.
    write(store, [variant("new", broken, 0.9), variant("bold", bold, 0.1)])
    wait_until(partial(is_refused, client, "champion 'new' of policy 'tiny-dqn': MODEL_UNLOADABLE"))
    assert set(answers_by_key(client, FEW_KEYS).values()) == {("steady", steady)}


def test_canary_that_misses_its_objective_is_taken_out_everywhere_and_for_good(
    tmp_path: Path,
    store: BundleStore,
    publish: Publish,
    serve: Serve,
    connect: Connect,
    wait_until: WaitUntil,
    receiver: Receiver,
) -> None:
    steady, bold = publish(), publish()
    write(
        store,
        [
            variant("steady", steady, 0.5),
            variant("bold", bold, 0.5, model_compute_us=1e-3, percentile=90, window_calls=20),
        ],
    )
    config = tmp_path / "inference.yaml"
    settings = {
        "workers": 2,
        "routing_state": str(tmp_path / "state"),
        "alerts": {"urls": [receiver.url]},
    }
    config.write_text(yaml.safe_dump(settings))
    server = serve("--config", str(config))

    def shares_of_bold() -> list[float]:
        """What each worker says."""
        lines = metrics(server).splitlines()
        name = "tradewind_inference_variant_share{"
        return [
            float(line.split()[-1]) for line in lines if line.startswith(name) and "bold" in line
        ]

    assert shares_of_bold() == [0.5, 0.5]
    with InferenceClient(server.address, timeout_s=20.0) as caller:
        assert ("bold", bold) in answers_by_key(caller, FEW_KEYS).values()
    wait_until(lambda: shares_of_bold() == [0.0, 0.0])
    client = connect(server)
    (rollback,) = client.get_routing(POLICY).rollbacks
    assert (rollback.cause, rollback.name) == ("MODEL_COMPUTE", "inference_service")
    assert "which p90 of" in rollback.reason
    assert set(answers_by_key(client, FEW_KEYS).values()) == {("steady", steady)}
    page = metrics(server)
    assert 'tradewind_inference_rolled_back_variant{cause="MODEL_COMPUTE",policy="tiny-dqn"' in page
    assert "inference_service rolls back variant bold of tiny-dqn" in server.log_tail(100)
    assert client.list_policies().routing.rollbacks == (rollback,)
    wait_until(receiver.is_told)
    assert receiver.titles[0] == "[inference_service] rollback: variant bold of tiny-dqn"
    assert "which p90 of" in receiver.got[0]["message"]

    # It stays out over a restart.
    client.close()
    server.stop()
    server = serve("--config", str(config), "--workers", "1")
    client = connect(server)
    assert set(answers_by_key(client, FEW_KEYS).values()) == {("steady", steady)}
    assert client.get_routing(POLICY).rollbacks == (rollback,)

    # A named person with a reason lets it in again.
    for name, reason in (("", "fixed"), ("Ada", " ")):
        with pytest.raises(errors.InvalidInputError, match="must say something"):
            client.reinstate_variant(POLICY, "bold", name=name, reason=reason)
    write(store, [variant("steady", steady, 0.5), variant("bold", bold, 0.5)])
    wait_until(lambda: client.get_routing().variants[1].bounds is None)
    assert client.reinstate_variant(POLICY, "bold", name="Ada", reason="measured") == rollback
    assert Counter(name for name, _ in answers_by_key(client, FEW_KEYS).values())["bold"] > 20

    # And a named program takes it out by request.
    for asked, problem in (
        ("steady", errors.ConflictError),
        ("no-such", errors.NotFoundError),
    ):
        with pytest.raises(problem):
            client.roll_back_variant(POLICY, asked, name="desk", reason="drawdown")
    requested = client.roll_back_variant(POLICY, "bold", name="desk", reason="drawdown of 6 %")
    assert (requested.cause, requested.name) == ("REQUESTED", "desk")
    assert share(client.get_routing(POLICY), "steady") == 1.0
