"""What a user of tritonclient does, with nothing of Tradewind: prints what came of it as JSON.

    .venv-tritonclient/bin/python triton_session.py HOST:PORT OBSERVATIONS.npz

The file has the observations [N, *shape] of each policy under the policy's name.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-not-found]
import tritonclient.grpc.aio as triton_aio  # type: ignore[import-not-found]
from numpy.typing import NDArray


def observation(values: NDArray[np.float32]) -> list[Any]:
    tensor = triton.InferInput("observation", list(values.shape), "FP32")
    return [tensor.set_data_from_numpy(values)]


def outputs(*names: str) -> list[Any]:
    return [triton.InferRequestedOutput(name) for name in names]


def infer(client: Any, policy: str, observations: NDArray[np.float32]) -> dict[str, Any]:
    """Every way of asking for an action."""
    everything = client.infer(policy, observation(observations), request_id="order-1")
    version = everything.get_response().model_version
    sampled = client.infer(
        policy,
        observation(observations),
        model_version=version,
        outputs=outputs("action"),
        parameters={"stochastic": True, "seed": 7},
        priority=1,
        timeout=20_000_000,
        client_timeout=20.0,
    )
    compressed = client.infer(policy, observation(observations), compression_algorithm="gzip")
    assert sampled.as_numpy("distribution") is None
    return {
        "version": version,
        "id": everything.get_response().id,
        "action": everything.as_numpy("action").tolist(),
        "action_dtype": str(everything.as_numpy("action").dtype),
        "distribution": everything.as_numpy("distribution").tolist(),
        "sampled": sampled.as_numpy("action").tolist(),
        "compressed": compressed.as_numpy("action").tolist(),
    }


async def infer_asyncio(
    address: str, policy: str, observations: NDArray[np.float32]
) -> list[list[Any]]:
    """One call for each observation, all at once."""
    async with triton_aio.InferenceServerClient(address) as client:
        calls = [client.infer(policy, observation(row[np.newaxis])) for row in observations]
        return [answer.as_numpy("action").tolist() for answer in await asyncio.gather(*calls)]


def refusal(client: Any, policy: str, values: NDArray[np.float32]) -> list[str]:
    try:
        client.infer(policy, observation(values))
    except triton.InferenceServerException as error:
        return [error.status(), error.message()]
    raise AssertionError("not refused")


def main() -> None:
    address, path = sys.argv[1:]
    with triton.InferenceServerClient(address) as client, np.load(path) as observations:
        policies = list(observations)
        first = policies[0]
        told = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "server": client.get_server_metadata(as_json=True),
            "index": client.get_model_repository_index(as_json=True),
            "models_ready": {name: client.is_model_ready(name) for name in (*policies, "other")},
            "models": {name: client.get_model_metadata(name, as_json=True) for name in policies},
            "answers": {name: infer(client, name, observations[name]) for name in policies},
            "configs": {name: client.get_model_config(name, as_json=True) for name in policies},
            "statistics": client.get_inference_statistics(first, as_json=True),
            "asyncio": asyncio.run(infer_asyncio(address, first, observations[first])),
            "wrong_shape": refusal(client, first, observations[first][:, 1:]),
            "not_a_number": refusal(client, first, observations[first] * np.float32("nan")),
            "unknown": refusal(client, "other", observations[first]),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
