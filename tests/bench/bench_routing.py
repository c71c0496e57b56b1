"""What routing costs a call: a policy that is not routed, one that is, and one with a shadow.

    python -m tests.bench.bench_routing

The same network under three names on one server. Rounds of the three take turns, each call with a
routing key; half of the keys of a routed policy go to each of two variants.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from stable_baselines3 import DQN

from tests.bench.bench_predict import (
    OBSERVATION_SIZE,
    SERVICE,
    Market,
    Row,
    call_unary,
    load,
    make_draft,
    show,
)
from tradewind.api.inference.v1 import inference_pb2
from tradewind.bundle import BundleStore
from tradewind.policy import use_one_torch_thread
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

POLICIES = ("plain", "routed", "shadowed")
CALLERS = (1, 16)
ROUNDS = 15


def publish(store: BundleStore, observations: NDArray[np.float32]) -> None:
    """Two versions under each name, and the routing of two of the names."""
    model = DQN("MlpPolicy", Market(), policy_kwargs={"net_arch": [64, 64]}, seed=1, buffer_size=1)
    draft = make_draft(model, observations)
    routing = {}
    for policy in POLICIES:
        named = replace(draft, name=policy)
        versions = [store.publish(named).metadata.version for _ in range(2)]
        routing[policy] = {
            "variants": [
                {"name": name, "target": version, "weight": 0.5}
                for name, version in zip(("one", "other"), versions, strict=True)
            ],
            "shadows": [{"name": "shadow", "target": "served"}] if policy == "shadowed" else [],
        }
    del routing["plain"]
    (store.root / "routing.yaml").write_text(yaml.safe_dump({"policies": routing}))


def measure(server: ServiceProcess, observations: NDArray[np.float32]) -> Iterator[Row]:
    """The rows of all three, for each number of callers."""
    payloads = {
        policy: [
            inference_pb2.PredictRequest(
                policy=policy, values_f32_le=row.tobytes(), routing_key=f"account-{number}"
            ).SerializeToString()
            for number, row in enumerate(observations)
        ]
        for policy in POLICIES
    }
    for callers in CALLERS:
        rounds: dict[str, list[tuple[NDArray[np.float64], float]]] = {one: [] for one in POLICIES}
        for turn in range(ROUNDS):
            for policy in POLICIES[turn % 3 :] + POLICIES[: turn % 3]:
                latencies, _, elapsed = load(
                    call_unary, server.address, SERVICE + "Predict", payloads[policy], callers
                )
                rounds[policy].append((latencies, elapsed))
        for policy in POLICIES:
            name = f"{policy}, callers: {callers}"
            rate = float(np.median([len(some) / elapsed for some, elapsed in rounds[policy]]))
            every = np.concatenate([latencies for latencies, _ in rounds[policy]])
            beside = "" if policy == "plain" else f"plain, callers: {callers}"
            yield Row(name, every, beside, rate)


def main() -> None:
    """Measures and prints the table, and what became of the shadow's answers."""
    use_one_torch_thread()
    observations = np.random.default_rng(1).normal(size=(64, OBSERVATION_SIZE)).astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        store = BundleStore(Path(scratch) / "store")
        publish(store, observations)
        arguments = ["--listen", "127.0.0.1:0", "--store", str(store.root)]
        log = Path(scratch) / "server.log"
        with ServiceProcess("inference_service", arguments, log=log) as server:
            show(list(measure(server, observations)))
            with InferenceClient(server.address) as client:
                shadow = client.get_routing("shadowed").variant("shadowed", "shadow")
                assert shadow is not None
                answered = sum(
                    one.answer_count
                    for one in client.get_routing("shadowed").variants
                    if not one.shadow
                )
                print(f"the shadow answered {shadow.answer_count} of {answered} calls")


if __name__ == "__main__":
    main()
