"""What an access policy adds to Predict over gRPC, by token and by certificate.

    python -m tests.bench.bench_access

Four servers take turns: open and guarded, in plain text and with mutual TLS. The open one in plain
text is called with the token's metadata, too, which it does not look at: what that adds is the
metadata's own cost, not the check's.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import yaml

from tools.certificates import make_certificates
from tradewind.api.inference.v1 import inference_pb2
from tradewind.rpc import ServiceProcess
from tradewind.rpc.access import bearer_metadata, make_token, read_token
from tradewind.rpc.clients import InferenceClient
from tradewind.rpc.tls import ClientTls, client_credentials

STORE = Path(__file__).parents[1] / "contract" / "bundle" / "store_v1"
METHOD = "/tradewind.api.inference.v1.InferenceService/Predict"
ROUNDS = 100
CALLS_PER_ROUND = 100
REQUEST = inference_pb2.PredictRequest(
    policy="tiny-dqn", values_f32_le=np.zeros(6, dtype=np.float32).tobytes()
).SerializeToString()


def start(folder: Path, name: str, server: dict[str, Any]) -> ServiceProcess:
    config = folder / f"{name}.yaml"
    values = {"server": {"listen": "127.0.0.1:0", "drain_s": 0.0, **server}, "store": str(STORE)}
    config.write_text(yaml.safe_dump(values))
    return ServiceProcess("inference_service", ["--config", str(config)], log=folder / name)


def measure(calls: dict[str, Callable[[], object]]) -> dict[str, list[int]]:
    """Nanoseconds of every call; each round begins with another one."""
    latencies: dict[str, list[int]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(ROUNDS + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            for _ in range(CALLS_PER_ROUND):
                started = time.perf_counter_ns()
                calls[name]()
                latencies[name].append(time.perf_counter_ns() - started)
    # The first round warms up.
    return {name: values[CALLS_PER_ROUND:] for name, values in latencies.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        make_certificates(folder)
        bot = {"certificates": ["orchestrator"], "tokens": [make_token(folder / "token")]}
        policy = folder / "access.yaml"
        policy.write_text(yaml.safe_dump({"identities": {"bot": {**bot, "roles": ["predict"]}}}))
        token = read_token(folder / "token")
        shared = {"certificate": str(folder / "server.crt"), "key": str(folder / "server.key")}
        tls = {"tls": {**shared, "client_ca": str(folder / "ca.crt")}}
        access = {"access": str(policy)}
        credentials = client_credentials(
            ClientTls(
                ca=folder / "ca.crt", certificate=folder / "client.crt", key=folder / "client.key"
            )
        )
        stubs = {}
        settings: dict[str, dict[str, Any]] = {
            "open": {},
            "guarded": access,
            "open, TLS": tls,
            "guarded, TLS": tls | access,
        }
        for name, server in settings.items():
            process = stack.enter_context(start(folder, name, server))
            secured = credentials if "TLS" in name else None
            with InferenceClient(process.address, credentials=secured, token=token) as client:
                client.wait_ready(60.0)
            if secured is None:
                channel = grpc.insecure_channel(process.address)
            else:
                channel = grpc.secure_channel(process.address, secured)
            stub: Any = stack.enter_context(channel).unary_unary(METHOD)
            stubs[name] = stub
        shown = bearer_metadata(token)
        latencies = measure(
            {
                "open": lambda: stubs["open"](REQUEST),
                "open, token sent": lambda: stubs["open"](REQUEST, metadata=shown),
                "guarded, by token": lambda: stubs["guarded"](REQUEST, metadata=shown),
                "open, mutual TLS": lambda: stubs["open, TLS"](REQUEST),
                "guarded, by certificate": lambda: stubs["guarded, TLS"](REQUEST),
            }
        )
    print(f"{'microseconds':28}{'p10':>9}{'p50':>9}{'p99':>9}")
    for name, values in latencies.items():
        p10, p50, p99 = np.percentile(values, [10.0, 50.0, 99.0]) / 1e3
        print(f"{name:28}{p10:9.1f}{p50:9.1f}{p99:9.1f}")


if __name__ == "__main__":
    main()
