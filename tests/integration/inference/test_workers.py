"""Several worker processes behind one port."""

import signal
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tradewind import errors
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

Publish = Callable[..., str]
Serve = Callable[..., ServiceProcess]
WaitUntil = Callable[[Callable[[], bool]], None]

OBSERVATION = np.zeros(6, np.float32)


def workers_of(server: ServiceProcess) -> list[psutil.Process]:
    children = psutil.Process(server.popen.pid).children()
    return [child for child in children if "inference_service.workers.worker" in child.cmdline()]


def metric(server: ServiceProcess, name: str) -> dict[str, float]:
    """The samples of a metric by worker."""
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics") as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    by_worker: Counter[str] = Counter()
    for sample in samples:
        by_worker[sample.labels.get("worker", "")] += int(sample.value)
    return dict(by_worker)


def predict_over_new_connections(server: ServiceProcess, count: int) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    for _ in range(count):
        with grpc.insecure_channel(server.address, options) as channel:
            grpc.channel_ready_future(channel).result(20)
        with InferenceClient(server.address, timeout_s=20.0) as client:
            client.predict(OBSERVATION)


def drain_under_calls(server: ServiceProcess) -> Counter[str]:
    """Calls without a pause, from before SIGTERM until the server is gone; counts outcomes."""
    answered, outcomes = threading.Event(), Counter[str]()

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
    return outcomes


def test_workers_share_a_port_are_replaced_and_drain_together(
    publish: Publish, serve: Serve, wait_until: WaitUntil, tmp_path: Path
) -> None:
    publish()
    server = serve("--workers", "2", "--listen", f"unix:{tmp_path}/{{worker}}.sock")
    assert server.addresses[1:] == tuple(f"unix:{tmp_path}/{index}.sock" for index in (0, 1))
    for address in server.addresses[1:]:
        with InferenceClient(address) as client:
            assert client.predict(OBSERVATION).policy == "tiny-dqn"

    predictions = "tradewind_inference_predictions_total"
    # A worker that has not a moment for a scrape is left out of it.
    wait_until(lambda: metric(server, predictions) == {"0": 1.0, "1": 1.0})
    predict_over_new_connections(server, 24)

    def both_have_answered() -> bool:
        counted = metric(server, predictions).values()
        return sum(counted) == 26 and min(counted) > 1  # the kernel shares connections out

    wait_until(both_have_answered)

    victim = workers_of(server)[0]
    victim.kill()
    wait_until(lambda: metric(server, "tradewind_inference_worker_restarts_total")["0"] == 1)

    def both_are_ready() -> bool:
        predict_over_new_connections(server, 4)  # none gets to the new one before it can answer
        return metric(server, "tradewind_inference_ready_workers") == {"": 2.0}

    wait_until(both_are_ready)
    assert "worker 0 ended with code -9; starting another" in server.log_tail(50)

    children = psutil.Process(server.popen.pid).children(recursive=True)
    assert set(drain_under_calls(server)) == {"answered"}
    assert not psutil.wait_procs(children, 60)[1]


def test_killed_service_leaves_no_process_behind(publish: Publish, serve: Serve) -> None:
    publish()
    server = serve("--workers", "2")
    children = psutil.Process(server.popen.pid).children(recursive=True)
    assert len(children) >= 3
    server.popen.kill()
    assert not psutil.wait_procs(children, 60)[1]


def test_worker_that_cannot_start_ends_the_service_with_its_cause(
    serve: Serve, tmp_path: Path
) -> None:
    with pytest.raises(errors.UnavailableError, match="ended with code 1 before it was ready"):
        serve("--workers", "2", "--listen", f"unix:{tmp_path}/missing/{{worker}}.sock")


def test_workers_on_a_port_that_is_taken_are_refused(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(errors.UnavailableError, match=f"cannot listen on {address}"):
            serve("--workers", "2", "--listen", address)
