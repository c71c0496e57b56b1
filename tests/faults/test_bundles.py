"""Bundles that are damaged, cut short or abandoned while they are published, under load."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.faults.scenario import Scenario
from tests.waiting import wait_until
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.rpc.clients import InferenceClient

POLICY = "tiny-dqn"
TRUNCATIONS = (0, 1, 100, 5_000)
# Publishes the policy again and again until it is killed.
PUBLISHER = """
import sys
from pathlib import Path
from tradewind.bundle import BundleDraft, BundleStore, read_bundle

source, target = BundleStore(Path(sys.argv[1])), BundleStore(Path(sys.argv[2]))
bundle = read_bundle(source.path("tiny-dqn", source.versions("tiny-dqn")[0]))
m = bundle.metadata
while True:
    target.publish(BundleDraft(
        name=m.name, algo=m.algo, policy_pt=bundle.policy_pt, golden=bundle.golden,
        obs_space=m.obs_space, action_space=m.action_space, distribution=m.distribution,
        features=m.features, risk=m.risk, training=m.training, slo=m.slo,
    ))
    print("published", flush=True)
"""


def quarantined(scenario: Scenario) -> dict[str, str]:
    with InferenceClient(scenario.stack.addresses["inference_service"]) as client:
        return {item.version: item.reason for item in client.list_policies().quarantined_versions}


def copy_version(store: BundleStore, version: str) -> Path:
    """A copy of the good version under another number, as a tool that copies folders makes it."""
    good = store.path(POLICY, store.versions(POLICY)[0])
    copy = store.root / POLICY / f".copying-{version}"
    shutil.copytree(good, copy)
    for file in copy.iterdir():
        file.chmod(0o644)
    values = json.loads((copy / "metadata.json").read_bytes())
    (copy / "metadata.json").write_text(json.dumps({**values, "version": version}))
    return copy


def test_files_cut_short_mid_publish_are_quarantined_while_the_good_version_serves(
    scenario: Scenario,
) -> None:
    store = scenario.stack.store
    (good,) = store.versions(POLICY)
    damaged = []
    cuts = itertools.product(("policy.pt", "metadata.json", "golden.npz"), TRUNCATIONS)
    for serial, (name, size) in enumerate(cuts, start=1):
        version = f"2099-01-01.{serial}"
        copy = copy_version(store, version)
        os.truncate(copy / name, min(size, (copy / name).stat().st_size - 1))
        copy.rename(store.path(POLICY, version))
        damaged.append(version)
    wait_until(lambda: set(quarantined(scenario)) == set(damaged), "all of them quarantined")
    with scenario.recovery("bundles cut short while they were copied", ["predict"]):
        pass
    assert set(scenario.load.versions) == {good}
    scenario.check()


def test_publisher_killed_again_and_again_leaves_only_whole_versions(
    scenario: Scenario, tmp_path: Path, released_draft: Callable[..., BundleDraft]
) -> None:
    store = scenario.stack.store
    source = BundleStore(tmp_path / "source")
    source.publish(released_draft())
    for rounds in (1, 2, 3, 4):
        with subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(source.root), str(store.root)],
            stdout=subprocess.PIPE,
            text=True,
        ) as publisher:
            assert publisher.stdout is not None
            for _ in range(rounds):
                publisher.stdout.readline()
            publisher.send_signal(signal.SIGKILL)
    published = store.versions(POLICY)
    assert len(published) >= 1 + 1 + 2 + 3 + 4
    with scenario.recovery("a publisher killed four times", ["predict"]):
        wait_until(lambda: published[-1] in scenario.load.versions, "the last version served")
    assert quarantined(scenario) == {}
    scenario.check()


def test_bundle_damaged_after_it_was_loaded_goes_on_serving_from_memory(
    scenario: Scenario,
) -> None:
    path = scenario.stack.store.path(POLICY, scenario.stack.store.versions(POLICY)[0])
    scenario.load.recovery_s(0.0, ["predict"])  # the callers have read the bundle themselves
    shutil.rmtree(path)
    with scenario.recovery("the served bundle removed from the volume", ["predict"]):
        pass
    scenario.check()
