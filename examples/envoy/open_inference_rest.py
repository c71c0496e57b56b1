"""Open Inference's REST beside Envoy: its JSON, turned into gRPC calls of the inference service.

    python examples/envoy/open_inference_rest.py --listen 127.0.0.1:8081 --inference 127.0.0.1:50052

Envoy's own transcoder cannot give it: this protocol's JSON is another one than its messages'.
The binary data extension is not served; answers are JSON, whatever form is asked for.
"""

import argparse
import json
from collections.abc import Mapping
from typing import Any, Final

import grpc
import numpy as np
from aiohttp import web
from google.protobuf.json_format import MessageToDict

from tradewind.api.open_inference import grpc_predict_v2_pb2 as pb
from tradewind.api.open_inference.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

LARGEST: Final = 4 * 1024 * 1024
TIMEOUT_S: Final = 5.0
TYPES: Final = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1",
    "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
HTTP: Final = {
    "INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404,
    "FAILED_PRECONDITION": 409, "RESOURCE_EXHAUSTED": 429, "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
FORWARDED: Final = ("authorization", "x-request-id", "traceparent", "tracestate")


class RefusedError(Exception):
    """What was asked cannot be understood; the message says where."""


class Gateway:
    """Answers the protocol's paths.

    Args:
        stub: The inference service.
    """

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def application(self) -> web.Application:
        """The paths, with errors as the protocol has them."""
        application = web.Application(client_max_size=LARGEST, middlewares=[_errors])
        routes = [web.get("/v2", self.server), web.get("/v2/health/{what:live|ready}", self.health)]
        for at in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            routes += [
                web.get(at, self.model),
                web.get(f"{at}/ready", self.model_ready),
                web.post(f"{at}/infer", self.infer),
            ]
        application.add_routes(routes)
        return application

    async def server(self, request: web.Request) -> web.Response:
        """Name, version and extensions of the server."""
        return _message(await self._call("ServerMetadata", pb.ServerMetadataRequest(), request))

    async def health(self, request: web.Request) -> web.Response:
        """Whether it lives, or is ready: 200, or 503."""
        what = request.match_info["what"]
        asked = pb.ServerLiveRequest() if what == "live" else pb.ServerReadyRequest()
        answer = await self._call(f"Server{what.capitalize()}", asked, request)
        holds = getattr(answer, what)
        return web.json_response({what: holds}, status=200 if holds else 503)

    async def model(self, request: web.Request) -> web.Response:
        """The tensors of a policy, and its versions."""
        return _message(
            await self._call("ModelMetadata", pb.ModelMetadataRequest(**_which(request)), request)
        )

    async def model_ready(self, request: web.Request) -> web.Response:
        """Whether a policy answers: 200, or 503."""
        which = _which(request)
        answer = await self._call("ModelReady", pb.ModelReadyRequest(**which), request)
        body = {"name": which["name"], "ready": answer.ready}
        return web.json_response(body, status=200 if answer.ready else 503)

    async def infer(self, request: web.Request) -> web.Response:
        """Actions for observations."""
        if "Inference-Header-Content-Length" in request.headers:
            raise RefusedError("the binary data extension is not served: send `data` as JSON")
        which = _which(request)
        asked = to_request(await _json(request), which["name"], which["version"])
        return web.json_response(from_response(await self._call("ModelInfer", asked, request)))

    async def _call(self, method: str, message: Any, request: web.Request) -> Any:
        metadata = [(key, request.headers[key]) for key in FORWARDED if key in request.headers]
        return await getattr(self._stub, method)(message, timeout=TIMEOUT_S, metadata=metadata)


def to_request(body: Any, name: str, version: str) -> pb.ModelInferRequest:
    """The call that a body asks for.

    Raises:
        RefusedError: The body is none of the protocol's; it says which field.
    """
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise RefusedError("inputs: must be a list of tensors")
    asked = pb.ModelInferRequest(model_name=name, model_version=version)
    at = ""
    try:
        asked.id = body.get("id", "")
        _set_parameters(asked.parameters, body.get("parameters", {}))
        for number, item in enumerate(body["inputs"]):
            at = f"inputs[{number}]: "
            tensor = asked.inputs.add(name=item["name"], datatype=item["datatype"])
            tensor.shape.extend(item["shape"])
            _set_parameters(tensor.parameters, item.get("parameters", {}))
            asked.raw_input_contents.append(_raw(item["data"], item["datatype"]))
        for number, item in enumerate(body.get("outputs", ())):
            at = f"outputs[{number}]: "
            _set_parameters(asked.outputs.add(name=item["name"]).parameters, item.get("parameters"))
    except KeyError as missing:
        raise RefusedError(f"{at}{missing.args[0]}: is missing") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as problem:
        raise RefusedError(f"{at}{problem}") from None
    return asked


def from_response(answer: pb.ModelInferResponse) -> dict[str, Any]:
    """The body that says what an answer says."""
    outputs = []
    for tensor, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        data = np.frombuffer(raw, dtype=TYPES[tensor.datatype]).tolist()
        shape = list(tensor.shape)
        outputs.append(
            {"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data}
        )
    made: dict[str, Any] = {
        "model_name": answer.model_name,
        "model_version": answer.model_version,
        "parameters": {
            key: getattr(value, str(value.WhichOneof("parameter_choice")))
            for key, value in answer.parameters.items()
        },
        "outputs": outputs,
    }
    return {"id": answer.id, **made} if answer.id else made


def _raw(data: Any, datatype: str) -> bytes:
    if datatype not in TYPES:
        raise ValueError(f"datatype: {datatype!r} cannot be sent; there are {', '.join(TYPES)}")
    values = np.asarray(data)  # flat or nested, as the protocol allows
    if values.dtype.kind not in "biuf" and values.size:
        raise ValueError("data: must be numbers, flat or nested as the shape says")
    kind = np.dtype(TYPES[datatype])
    if kind.kind in "iu" and (values.astype(kind) != values).any():
        raise ValueError(f"data: has what {datatype} cannot hold")
    with np.errstate(over="ignore"):  # infinity, which the service refuses by its field
        return values.astype(kind).tobytes()


def _set_parameters(into: Any, given: Mapping[str, Any] | None) -> None:
    for key, value in (given or {}).items():
        kind = {bool: "bool", int: "int64", str: "string", float: "double"}.get(type(value))
        if kind is None:
            raise ValueError(f"parameters.{key}: must be a text, a number, true or false")
        setattr(into[key], f"{kind}_param", value)


def _which(request: web.Request) -> dict[str, str]:
    found = request.match_info
    return {"name": found["name"], "version": found.get("version", "")}


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise RefusedError("the body is not JSON") from None


def _message(answer: Any) -> web.Response:
    body = MessageToDict(answer, preserving_proto_field_name=True)
    for tensor in (*body.get("inputs", ()), *body.get("outputs", ())):
        tensor["shape"] = [int(size) for size in tensor["shape"]]  # int64 is text in proto's JSON
    return web.json_response(body)


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except RefusedError as refused:
        return web.json_response({"error": str(refused)}, status=400)
    except web.HTTPException as refused:
        return web.json_response({"error": refused.reason}, status=refused.status)
    except grpc.aio.AioRpcError as failed:
        status = HTTP.get(failed.code().name, 500)
        return web.json_response({"error": failed.details()}, status=status)
    return answer


async def serve(inference: str) -> web.Application:
    """The application, with a channel that ends with it."""
    channel = grpc.aio.insecure_channel(inference)
    application = Gateway(GRPCInferenceServiceStub(channel)).application()

    async def close(_: web.Application) -> None:
        await channel.close()

    application.on_cleanup.append(close)
    return application


def main() -> None:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--listen", default="127.0.0.1:8081", metavar="HOST:PORT")
    parser.add_argument("--inference", default="127.0.0.1:50052", metavar="HOST:PORT")
    given = parser.parse_args()
    host, _, port = given.listen.rpartition(":")
    web.run_app(serve(given.inference), host=host, port=int(port), print=None)


if __name__ == "__main__":
    main()
