"""Two replicas of the inference service over one store; one is killed under load, and comes back.

    python examples/two_replicas.py --store runs/demo/<time>/bundles [--envoy .venv-envoy/bin/envoy]

No call fails: replicas keep no state, so a call that dies with its replica is sent to the other
one. First by the client, which knows both addresses; then by Envoy, which any gRPC client can
call as if it were one server (`python tools/side_environments.py envoy` installs it).
"""

import argparse
import contextlib
import functools
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import yaml

from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.errors import UnavailableError
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

ENVOY_CONFIG = Path(__file__).with_name("envoy") / "envoy.yaml"
CALLERS = 8
PATIENCE_S = 20.0

Predict = Callable[[], object]


class Replica:
    """One inference service, at the same address whenever it runs.

    Args:
        name: For the report and the log.
        store: The bundle store, the same for all replicas.
        scratch: Folder of the log.
    """

    def __init__(self, name: str, store: Path, scratch: Path) -> None:
        self.name = name
        self._store = store
        self._log = scratch / f"{name}.log"
        self.process = self._start("127.0.0.1:0")
        self.address = self.process.address

    def stop(self) -> None:
        """Lets the process drain and end."""
        self.process.stop()

    def kill(self) -> None:
        """Ends the process with SIGKILL: nothing is drained, calls under way are lost."""
        self.process.popen.kill()

    def restart(self) -> None:
        """Starts a killed replica again."""
        self.process.stop()
        self.process = self._start(self.address)

    def answered(self) -> int:
        """Predictions that this process gave since its start."""
        with InferenceClient(self.address) as client:
            return sum(report.call_count for report in client.latency_reports())

    def _start(self, listen: str) -> ServiceProcess:
        arguments = ["--listen", listen, "--metrics-listen", "127.0.0.1:0"]
        arguments += ["--store", str(self._store)]
        return ServiceProcess("inference_service", arguments, log=self._log)


class Load:
    """Many calls at once, and a report of who answered them.

    Args:
        predict: Makes one call.
        count: Calls in each round.
    """

    def __init__(self, predict: Predict, count: int) -> None:
        self._predict = predict
        self._count = count

    def round(
        self,
        title: str,
        replicas: list[Replica],
        halfway: Callable[[], None] = lambda: None,
    ) -> None:
        """Calls, and prints how many failed and how many each replica answered.

        Args:
            title: Of the printed line.
            replicas: Those that run from the first to the last call.
            halfway: Called in the middle of the calls, which do not wait for it.
        """

        def call(number: int) -> Exception | None:
            if number == self._count // 2:
                halfway()
            try:
                self._predict()
            except Exception as error:
                return error
            return None

        before = [replica.answered() for replica in replicas]
        with ThreadPoolExecutor(CALLERS) as pool:
            errors = [error for error in pool.map(call, range(self._count)) if error is not None]
        shares = ", ".join(
            f"{replica.name} {replica.answered() - count}"
            for replica, count in zip(replicas, before, strict=True)
        )
        print(f"  {title:24}{self._count} calls, {len(errors)} failed; answered: {shares}")
        if errors:
            sys.exit(f"two_replicas: a call failed: {errors[0]}")

    def wait_for(self, replica: Replica) -> None:
        """Calls until a replica that came back gets some of the calls.

        Raises:
            UnavailableError: It does not.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not replica.answered():
            if time.monotonic() > deadline:
                raise UnavailableError(f"{replica.name} gets no calls")
            self._predict()


@contextlib.contextmanager
def envoy(program: Path, addresses: list[str], scratch: Path) -> Iterator[str]:
    """Runs Envoy with examples/envoy/envoy.yaml on free ports; gives its address."""
    config = yaml.safe_load(ENVOY_CONFIG.read_text())
    (listener,), (cluster,) = (config["static_resources"][key] for key in ("listeners", "clusters"))
    listener["address"]["socket_address"]["port_value"] = 0
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    for endpoint, address in zip(endpoints, addresses, strict=True):
        port = int(address.rpartition(":")[2])
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = port
    path, admin = scratch / "envoy.yaml", scratch / "envoy.admin"
    path.write_text(yaml.safe_dump(config))
    command = [str(program), "--config-path", str(path), "--admin-address-path", str(admin)]
    command += ["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"]
    with subprocess.Popen(command) as process:
        try:
            yield wait_for_envoy(admin)
        finally:
            process.terminate()


def wait_for_envoy(admin: Path) -> str:
    """The address of Envoy's listener, once it listens and knows the replicas' health."""

    def ask(path: str) -> str:
        with urllib.request.urlopen(f"http://{admin.read_text()}/{path}") as page:
            return str(page.read().decode())

    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            ask("ready")
            (listener,) = json.loads(ask("listeners?format=json"))["listener_statuses"]
            bound = listener["local_address"]["socket_address"]
            return f"{bound['address']}:{bound['port_value']}"
        time.sleep(0.05)
    raise UnavailableError("Envoy is not ready")


def main() -> None:
    """Starts the replicas and shows what a client sees, with and without Envoy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", type=Path, required=True, help="a bundle store with a policy")
    parser.add_argument("--envoy", type=Path, help="the Envoy program, to show it too")
    parser.add_argument("--calls", type=int, default=2_000, help="in each round")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with ThreadPoolExecutor() as pool:
            start = functools.partial(Replica, store=options.store, scratch=scratch)
            first, second = pool.map(start, ("first", "second"))
        stack.callback(first.stop)
        stack.callback(second.stop)
        addresses = [first.address, second.address]

        client = stack.enter_context(InferenceClient(addresses))
        described = client.list_policies().policy_versions[0]
        policy, shape = described.policy, described.observation_space.shape
        observation = np.random.default_rng(1).normal(size=shape).astype(np.float32)

        print(f"{policy} at {' and '.join(addresses)}, balanced by the client")
        load = Load(lambda: client.predict(observation, policy=policy), options.calls)
        load.round("both replicas", [first, second])
        load.round("first killed half-way", [second], halfway=first.kill)
        first.restart()
        load.wait_for(first)
        load.round("first back", [first, second])
        if options.envoy is None:
            return

        address = stack.enter_context(envoy(options.envoy, addresses, scratch))
        # A client that neither knows the replicas nor tries anything again.
        channel = stack.enter_context(grpc.insecure_channel(address, [("grpc.enable_retries", 0)]))
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        request = inference_pb2.PredictRequest(policy=policy, values_f32_le=observation.tobytes())

        print(f"{policy} behind Envoy at {address}")
        load = Load(lambda: stub.Predict(request, timeout=5.0), options.calls)
        load.round("both replicas", [first, second])
        load.round("first killed half-way", [second], halfway=first.kill)


if __name__ == "__main__":
    main()
