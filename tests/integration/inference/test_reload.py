"""Hot loading, refusal, readiness and drain of a real server, under calls."""

import json
import shutil
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.integration.inference.conftest import ServeHere
from tradewind import errors
from tradewind.bundle import BundleStore, SigningKey
from tradewind.rpc import RpcServer, ServiceProcess
from tradewind.rpc.clients import InferenceClient

Publish = Callable[..., str]
Serve = Callable[..., ServiceProcess]
Connect = Callable[[ServiceProcess | RpcServer], InferenceClient]
WaitUntil = Callable[[Callable[[], bool]], None]

RELOADS = 5
OBSERVATION = np.zeros(6, np.float32)


class Callers:
    """Threads that predict without a pause and count the answers by version."""

    def __init__(self, server: ServiceProcess, count: int) -> None:
        self._server = server
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]
        self.versions: Counter[str] = Counter()
        self.failures: list[str] = []

    def _call(self) -> None:
        with InferenceClient(self._server.address, timeout_s=20.0) as client:
            while not self._stopping.is_set():
                try:
                    self.versions[client.predict(OBSERVATION, policy="tiny-dqn").version] += 1
                except errors.TradewindError as problem:
                    self.failures.append(str(problem))

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def served_version(client: InferenceClient) -> str:
    return client.get_policy("tiny-dqn").policy_version.version


def damage_network(path: Path) -> None:
    data = bytearray((path / "policy.pt").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (path / "policy.pt").write_bytes(data)


def record_another_digest(path: Path) -> None:
    values = json.loads((path / "metadata.json").read_bytes())
    values["sha256"] = values["files"]["policy.pt"] = "0" * 64
    (path / "metadata.json").write_text(json.dumps(values))


def truncate_metadata(path: Path) -> None:
    (path / "metadata.json").write_bytes((path / "metadata.json").read_bytes()[:300])


def link_network(path: Path) -> None:
    (path / "policy.pt").rename(path.parent / "policy.pt")
    (path / "policy.pt").symlink_to(path.parent / "policy.pt")


DAMAGES = {
    damage_network: "DIGEST_MISMATCH",
    record_another_digest: "DIGEST_MISMATCH",
    truncate_metadata: "METADATA_INVALID",
    link_network: "FILE_NOT_REGULAR",
}


@pytest.fixture
def publish_damaged(store: BundleStore, publish: Publish, tmp_path: Path) -> Callable[..., str]:
    """Publishes a version that was damaged before it came into the store."""
    elsewhere = BundleStore(tmp_path / "elsewhere")

    def publish_damaged(damage: Callable[[Path], None], version: str) -> str:
        good = store.path("tiny-dqn", store.versions("tiny-dqn")[0])
        copy = elsewhere.path("tiny-dqn", version)
        shutil.copytree(good, copy)
        for file in copy.iterdir():
            file.chmod(0o644)
        values = json.loads((copy / "metadata.json").read_bytes())
        (copy / "metadata.json").write_text(json.dumps({**values, "version": version}))
        damage(copy)
        copy.rename(store.path("tiny-dqn", version))
        return version

    return publish_damaged


def test_reloads_under_calls_fail_none_of_them(
    publish: Publish, serve: Serve, connect: Connect, wait_until: WaitUntil
) -> None:
    versions = [publish()]
    server = serve()
    client = connect(server)
    with Callers(server, 4) as callers:
        wait_until(lambda: callers.versions[versions[0]] > 0)
        for _ in range(RELOADS):
            versions.append(publish())
            wait_until(lambda: callers.versions[versions[-1]] > 0)
    assert callers.failures == []
    assert set(callers.versions) == set(versions)

    # The one before stays loaded, so a caller may still ask for it; older ones are let go.
    before = client.predict(OBSERVATION, policy="tiny-dqn", version=versions[-2])
    assert before.version == versions[-2]
    with pytest.raises(errors.VersionNotFoundError, match="is not loaded; loaded are"):
        client.predict(OBSERVATION, policy="tiny-dqn", version=versions[0])


def test_damaged_bundles_are_refused_with_their_cause_while_the_good_one_serves(
    publish: Publish,
    publish_damaged: Callable[..., str],
    serve: Serve,
    connect: Connect,
    wait_until: WaitUntil,
) -> None:
    good = publish()
    server = serve()
    client = connect(server)
    with Callers(server, 2) as callers:
        expected = {}
        for serial, (damage, reason) in enumerate(DAMAGES.items(), start=1):
            expected[publish_damaged(damage, f"2099-01-01.{serial}")] = reason
        expected[publish(policy_pt=b"no network")] = "MODEL_UNLOADABLE"
        wait_until(lambda: len(client.list_policies().quarantined_versions) == len(expected))
    refused = {item.version: item for item in client.list_policies().quarantined_versions}
    assert {version: item.reason for version, item in refused.items()} == expected
    for version, item in refused.items():
        assert f"bundle tiny-dqn/{version} is refused" in item.detail
    assert callers.failures == []
    assert set(callers.versions) == {good}
    assert served_version(client) == good
    assert "quarantined tiny-dqn/2099-01-01.1 (DIGEST_MISMATCH)" in server.log_tail(50)

    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics") as response:
        metrics = response.read().decode()
    assert f"tradewind_inference_quarantined_versions {float(len(expected))}" in metrics
    assert (
        f'tradewind_inference_predictions_total{{call="single",policy="tiny-dqn",version="{good}"}}'
        in metrics
    )


def test_server_on_a_missing_store_becomes_ready_when_a_policy_is_published(
    store: BundleStore,
    publish: Publish,
    serve_here: ServeHere,
    connect: Connect,
    wait_until: WaitUntil,
) -> None:
    client = connect(serve_here())
    assert not store.root.exists()
    assert not client.is_serving()
    with pytest.raises(errors.UnavailableError, match="no policy is served yet"):
        client.predict(OBSERVATION, policy="tiny-dqn")
    version = publish()
    wait_until(client.is_serving)
    assert client.predict(OBSERVATION).version == version


def test_store_that_vanishes_costs_no_call_and_is_followed_when_it_returns(
    store: BundleStore,
    publish: Publish,
    serve_here: ServeHere,
    connect: Connect,
    wait_until: WaitUntil,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = publish()
    client = connect(serve_here())
    away = store.root.with_name("away")
    store.root.rename(away)
    wait_until(lambda: "cannot list" in caplog.text)
    assert client.predict(OBSERVATION).version == first
    away.rename(store.root)
    second = publish()
    wait_until(lambda: served_version(client) == second)


def test_sigterm_drains_calls_under_way_and_exits_cleanly(publish: Publish, serve: Serve) -> None:
    publish()
    server = serve()
    answered = threading.Event()
    outcomes: Counter[str] = Counter()

    def call() -> None:
        with InferenceClient(server.address, timeout_s=20.0) as client:
            while True:
                try:
                    client.predict(OBSERVATION)
                    outcomes["answered"] += 1
                    answered.set()
                except errors.UnavailableError:
                    return
                except errors.TradewindError as problem:
                    outcomes[str(problem)] += 1
                    return

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    assert answered.wait(60)
    server.popen.send_signal(signal.SIGTERM)
    assert server.popen.wait(60) == 0
    for caller in callers:
        caller.join(60)
    assert set(outcomes) == {"answered"}


def test_pinned_version_from_the_settings_file_serves(
    tmp_path: Path, publish: Publish, serve: Serve, connect: Connect
) -> None:
    first, _ = publish(), publish()
    config = tmp_path / "inference.yaml"
    config.write_text(f"pinned:\n  tiny-dqn: {first}\n")
    client = connect(serve("--config", str(config)))
    assert served_version(client) == first


def test_server_that_requires_signatures_serves_signed_versions_alone(
    tmp_path: Path,
    store: BundleStore,
    publish: Publish,
    serve_here: ServeHere,
    connect: Connect,
    wait_until: WaitUntil,
) -> None:
    key = SigningKey.create(tmp_path / "signing.key")
    unsigned = publish()
    trusted = (tmp_path / "signing.key.pub",)
    client = connect(serve_here(trusted_keys=trusted, require_signature=True))
    (refused,) = client.list_policies().quarantined_versions
    assert (refused.version, refused.reason) == (unsigned, "SIGNATURE_MISSING")
    assert not client.is_serving()

    store.sign("tiny-dqn", unsigned, key)  # its files changed, so it is tried again
    wait_until(client.is_serving)
    assert served_version(client) == unsigned
    swapped, other = publish(), publish()
    store.sign("tiny-dqn", other, key)
    wait_until(lambda: served_version(client) == other)
    # The signature of one version is none of another's.
    stolen = store.path("tiny-dqn", other) / "metadata.json.sig"
    (store.path("tiny-dqn", swapped) / "metadata.json.sig").write_bytes(stolen.read_bytes())
    wait_until(
        lambda: (
            {item.version: item.reason for item in client.list_policies().quarantined_versions}
            == {swapped: "SIGNATURE_INVALID"}
        )
    )
    assert client.predict(OBSERVATION).version == other
