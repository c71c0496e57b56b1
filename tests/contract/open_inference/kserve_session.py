"""What a user of KServe's gRPC client does, with nothing of Tradewind: prints what came as JSON.

    .venv-kserve/bin/python kserve_session.py HOST:PORT OBSERVATIONS.npz

The file has the observations [N, *shape] of each policy under the policy's name.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
from kserve import (  # type: ignore[import-not-found]
    InferenceGRPCClient,
    InferInput,
    InferRequest,
)
from numpy.typing import NDArray


async def infer(
    client: Any, policy: str, observations: NDArray[np.float32], *, binary: bool
) -> dict[str, Any]:
    """One request; binary is the client's default, and adds the parameter binary_data_size."""
    tensor = InferInput("observation", list(observations.shape), "FP32")
    tensor.set_data_from_numpy(observations, binary_data=binary)
    request = InferRequest(policy, [tensor], request_id="order-1")
    answer = await client.infer(request, timeout=20.0)
    outputs = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    return {"id": answer.id, "version": answer.model_version, **outputs}


async def main() -> None:
    address, path = sys.argv[1:]
    client = InferenceGRPCClient(address)
    with np.load(path) as observations:
        told = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "models_ready": {name: await client.is_model_ready(name) for name in observations},
            "answers": {
                f"{policy}/{'binary' if binary else 'listed'}": await infer(
                    client, policy, observations[policy], binary=binary
                )
                for policy in observations
                for binary in (True, False)
            },
        }
    await client.close()
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main())
