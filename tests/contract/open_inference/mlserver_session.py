"""What a user of MLServer's codecs does, with nothing of Tradewind: prints what came as JSON.

    .venv-mlserver/bin/python mlserver_session.py HOST:PORT OBSERVATIONS.npz

The file has the observations [N, *shape] of each policy under the policy's name.
"""

import json
import sys
from typing import Any

import grpc
import numpy as np
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.grpc.converters import (  # type: ignore[import-not-found]
    ModelInferRequestConverter,
    ModelInferResponseConverter,
)
from mlserver.grpc.dataplane_pb2 import (  # type: ignore[import-not-found]
    ModelReadyRequest,
    ServerLiveRequest,
    ServerReadyRequest,
)
from mlserver.grpc.dataplane_pb2_grpc import (  # type: ignore[import-not-found]
    GRPCInferenceServiceStub,
)
from mlserver.types import InferenceRequest  # type: ignore[import-not-found]
from numpy.typing import NDArray


def infer(
    stub: Any, policy: str, observations: NDArray[np.float32], *, raw: bool
) -> dict[str, Any]:
    """One request; the codec adds the parameter content_type, and raw bytes an empty `contents`."""
    tensor = NumpyCodec.encode_input("observation", observations)
    request = ModelInferRequestConverter.from_types(
        InferenceRequest(id="order-1", inputs=[tensor]), model_name=policy, use_raw=raw
    )
    answer = ModelInferResponseConverter.to_types(stub.ModelInfer(request, timeout=20.0))
    outputs = {output.name: NumpyCodec.decode_output(output).tolist() for output in answer.outputs}
    return {"id": answer.id, "version": answer.model_version, **outputs}


def main() -> None:
    address, path = sys.argv[1:]
    with grpc.insecure_channel(address) as channel, np.load(path) as observations:
        stub = GRPCInferenceServiceStub(channel)
        told = {
            "live": stub.ServerLive(ServerLiveRequest()).live,
            "ready": stub.ServerReady(ServerReadyRequest()).ready,
            "models_ready": {
                name: stub.ModelReady(ModelReadyRequest(name=name)).ready for name in observations
            },
            "answers": {
                f"{policy}/{'binary' if raw else 'listed'}": infer(
                    stub, policy, observations[policy], raw=raw
                )
                for policy in observations
                for raw in (True, False)
            },
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
