"""What may stand in place of the routing's files on a shared volume, before a real server."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tradewind.bundle import BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

POLICY = "tiny-dqn"
OBSERVATION = np.zeros(6, np.float32)
LEVELS = "\n".join(
    f"{name}: &{name} [{','.join(['*' + above] * 9)}]"
    for above, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def routing(version: str, name: str) -> str:
    variants = [{"name": name, "target": version, "weight": 1.0}]
    return yaml.safe_dump({"policies": {POLICY: {"variants": variants}}})


def make_gigabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "a named pipe"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "leads out of"),
    "link to a file of the machine": (lambda path: path.symlink_to("/etc/hostname"), "leads out"),
    "folder": (Path.mkdir, "a folder"),
    "gigabyte": (make_gigabyte, "bytes; 1048576 are allowed"),
    "aliases": (lambda path: path.write_text(f"a: &a [x]\n{LEVELS}\n"), "behind aliases counted"),
    "brackets": (lambda path: path.write_text("policies: " + "[" * 500_000), "64 levels deep"),
}


def put(store: BundleStore, make: Callable[[Path], object]) -> None:
    """Has something new stand in place of the routing file."""
    fresh, path = store.root / "new", store.root / "routing.yaml"
    make(fresh)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    elif fresh.is_dir():
        path.unlink()
    fresh.rename(path)


def test_routing_with_anything_but_a_file_goes_on_and_ends_on_a_signal(
    store: BundleStore,
    publish: Callable[..., str],
    serve: Callable[..., ServiceProcess],
    connect: Callable[[ServiceProcess], InferenceClient],
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    version = publish()
    put(store, lambda path: path.write_text(routing(version, "first")))
    server = serve()
    client = connect(server)
    for number, (make, problem) in enumerate(ODD.values()):
        before = client.predict(OBSERVATION, policy=POLICY).variant
        put(store, make)
        wait_until(lambda problem=problem: problem in client.get_routing().refusal)  # type: ignore[misc]
        assert client.predict(OBSERVATION, policy=POLICY).variant == before
        name = f"after-{number}"
        put(store, lambda path, name=name: path.write_text(routing(version, name)))  # type: ignore[misc]
        wait_until(
            lambda name=name: client.predict(OBSERVATION, policy=POLICY).variant == name  # type: ignore[misc]
        )
        assert client.get_routing().refusal == ""
    put(store, os.mkfifo)
    wait_until(lambda: "a named pipe" in client.get_routing().refusal)
    client.close()
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["rollbacks.json", "accepted.yaml", "rollbacks.lock"])
def test_routing_state_with_a_pipe_in_place_of_a_file_ends_on_a_signal(
    tmp_path: Path,
    store: BundleStore,
    publish: Callable[..., str],
    serve: Callable[..., ServiceProcess],
    connect: Callable[[ServiceProcess], Any],
    name: str,
) -> None:
    put_version = publish()
    put(store, lambda path: path.write_text(routing(put_version, "one")))
    state = tmp_path / "state"
    state.mkdir()
    os.mkfifo(state / name)
    config = tmp_path / "inference.yaml"
    config.write_text(f"routing_state: {state}\n")
    server = serve("--config", str(config))
    client = connect(server)
    assert client.predict(OBSERVATION, policy=POLICY, version=put_version).version == put_version
    client.close()
    assert server.stop() == 0
