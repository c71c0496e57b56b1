"""ModelInfer: between its messages and numpy; raw observations are not copied."""

import math
import sys
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference_service.calls import place_of
from inference_service.prediction import CallCodec
from inference_service.registry import LoadedVersion
from tradewind.api.open_inference import grpc_predict_v2_pb2 as messages
from tradewind.bundle import BoxSpace
from tradewind.errors import FieldViolation, InvalidInputError, ObservationError
from tradewind.policy import PredictionInfo

__all__ = ["ACTION", "DISTRIBUTION", "INFER", "OBSERVATION"]

OBSERVATION: Final = "observation"
"""The input: FP32 [N, *shape]."""

ACTION: Final = "action"
"""The output that every policy has: INT64 [N] or FP32 [N, *action shape]."""

DISTRIBUTION: Final = "distribution"
"""The output with the parameters that actions are taken from: FP32, see metadata.Distribution."""

_FLOAT32_LE: Final = np.dtype("<f4")
_NAME_OF: Final = attrgetter("name")
_ALL_OUTPUTS: Final = (ACTION, DISTRIBUTION)
_SHOWN_NAME: Final = 64  # of a name that a caller made up, in an error

_OURS: Final = {"stochastic": "stochastic", "seed": "seed", "routingkey": "routing_key"}
_OTHER_ANSWERS: Final = (
    "sequence",  # sequence_id, sequence_start, sequence_end: a state between calls
    "sharedmemory",  # shared_memory_region, …: values that are elsewhere
    "classification",
    "deterministic",
    "temperature",
)

InputTensor = messages.ModelInferRequest.InferInputTensor


class _InferCodec:
    """N observations, N actions; see CallCodec."""

    is_single = False

    def request_id(self, request: messages.ModelInferRequest) -> str:
        """The caller's own name for the call."""
        return request.id

    def target(self, request: messages.ModelInferRequest) -> tuple[str, str, str, str]:
        """Policy, version, no label, and routing key.

        Raises:
            InvalidInputError: The key is not a text.
        """
        return request.model_name, request.model_version, "", _routing_key(request)

    def read(
        self, request: messages.ModelInferRequest, space: BoxSpace
    ) -> tuple[NDArray[np.float32], bool, int, bool]:
        """The observations, [N, *shape], and how to act on them.

        Raises:
            InvalidInputError: They do not fit, or another answer is asked for than there is.
        """
        outputs = _outputs(request)
        stochastic, seed = _sampling(request)
        return _observations(request, space), stochastic, seed, DISTRIBUTION in outputs

    def write(
        self,
        request: messages.ModelInferRequest,
        version: LoadedVersion,
        variant: str,
        actions: NDArray[Any],
        info: PredictionInfo,
    ) -> messages.ModelInferResponse:
        """The answer with the outputs asked for, the values in raw_output_contents.

        The variant is named where there is one.
        """
        elapsed = info["model_compute_ns"]
        response = messages.ModelInferResponse(
            model_name=version.name, model_version=version.version, id=request.id
        )
        response.parameters["bundle_sha256"].string_param = version.sha256
        response.parameters["model_compute_ns"].int64_param = elapsed
        response.parameters["slo_met"].bool_param = elapsed <= version.batch_latencies.slo_ns
        if variant:
            response.parameters["variant"].string_param = variant
        for name in map(_NAME_OF, request.outputs) if request.outputs else _ALL_OUTPUTS:
            values = actions if name == ACTION else info["distribution"]
            datatype = "INT64" if values.dtype == np.int64 else "FP32"
            response.outputs.add(name=name, datatype=datatype, shape=values.shape)
            if sys.byteorder == "big":
                values = values.byteswap()
            response.raw_output_contents.append(values.tobytes())
        return response

    def located(
        self, request: messages.ModelInferRequest, error: InvalidInputError, space: BoxSpace | None
    ) -> InvalidInputError:
        """What the policy has refused, where it stands in the request."""
        if space is None:
            return error
        violations = []
        for violation in error.violations:
            field, description = violation.field, violation.description
            at = place_of(field, space)
            if field == "seed":
                field = "parameters[seed]"
            elif at is not None and request.raw_input_contents:
                field, description = "raw_input_contents[0]", f"number {at}: {description}"
            elif at is not None:
                field = f"inputs[0].contents.fp32_contents[{at}]"
            violations.append(FieldViolation(field, description))
        if isinstance(error, ObservationError):
            return ObservationError("observation is refused", violations, metadata=error.metadata)
        return InvalidInputError("request is refused", violations, metadata=error.metadata)


INFER: Final[CallCodec[messages.ModelInferRequest, messages.ModelInferResponse]] = _InferCodec()


def _observations(request: messages.ModelInferRequest, space: BoxSpace) -> NDArray[np.float32]:
    """The observations of a request: [N, *shape].

    Raises:
        ObservationError: There is not exactly the one input, or it has another type, shape or
            number of values.
    """
    tensor = _only_input(request)
    shape = tuple(tensor.shape)
    if shape[1:] != space.shape or shape[0] < 1:
        expected = ", ".join(map(str, ("N ≥ 1", *space.shape)))
        raise _refused_input("inputs[0].shape", f"{shape} instead of ({expected})")
    size = math.prod(shape)
    raw = request.raw_input_contents
    if not raw:
        return _read_contents(tensor.contents, size).reshape(shape)
    if tensor.contents.ListFields():
        raise _refused_input("inputs[0].contents", "present beside raw_input_contents")
    if len(raw) != 1:
        raise _refused_input("raw_input_contents", f"{len(raw)} elements instead of 1")
    if len(raw[0]) != 4 * size:
        raise _refused_input(
            "raw_input_contents[0]", f"{len(raw[0])} bytes instead of {4 * size}, {shape}"
        )
    return np.frombuffer(raw[0], _FLOAT32_LE).reshape(shape)


def _routing_key(request: messages.ModelInferRequest) -> str:
    """The key that chooses a variant; empty for none.

    Raises:
        InvalidInputError: It is not a text.
    """
    if "routing_key" not in request.parameters:
        return ""
    parameter = request.parameters["routing_key"]
    kind = parameter.WhichOneof("parameter_choice")
    if kind != "string_param":
        raise _refused("parameters[routing_key]", f"{kind or 'no value'} instead of string_param")
    return parameter.string_param


def _sampling(request: messages.ModelInferRequest) -> tuple[bool, int]:
    """Whether to sample, and the seed; what else clients say and what changes no answer is ignored.

    Raises:
        InvalidInputError: A parameter is of another type, or asks for another answer.
    """
    stochastic, seed = False, 0
    for name, parameter in request.parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        if name == "stochastic" and kind == "bool_param":
            stochastic = parameter.bool_param
        elif name == "seed" and kind == "uint64_param":
            seed = parameter.uint64_param
        elif name == "seed" and kind == "int64_param":
            seed = parameter.int64_param
        elif name in ("stochastic", "seed") or _means_another_answer(name):
            raise _refused(
                f"parameters[{name:.{_SHOWN_NAME}}]",
                f"{kind or 'no value'}; known are stochastic (bool_param), seed (uint64_param or "
                "int64_param) and routing_key (string_param)",
            )
    return stochastic, seed


def _outputs(request: messages.ModelInferRequest) -> tuple[str, ...]:
    """The names of the outputs to give, in the order asked for; all of them when none is named.

    Raises:
        InvalidInputError: A name is unknown or comes twice, or a parameter asks for another answer.
    """
    names: list[str] = []
    for number, output in enumerate(request.outputs):
        if output.name not in _ALL_OUTPUTS:
            raise _refused(
                f"outputs[{number}].name",
                f"{output.name[:_SHOWN_NAME]!r} instead of {ACTION!r} or {DISTRIBUTION!r}",
            )
        if output.name in names:
            raise _refused(f"outputs[{number}].name", f"{output.name!r} for a second time")
        for name in filter(_means_another_answer, output.parameters):
            raise _refused(f"outputs[{number}].parameters", _no_parameter(name))
        names.append(output.name)
    return tuple(names) or _ALL_OUTPUTS


def _only_input(request: messages.ModelInferRequest) -> InputTensor:
    names = [tensor.name for tensor in request.inputs]
    if names != [OBSERVATION]:
        listed = ", ".join(repr(name[:_SHOWN_NAME]) for name in names[:4]) or "none"
        raise _refused_input("inputs", f"{listed} instead of one tensor {OBSERVATION!r}")
    tensor = request.inputs[0]
    if tensor.datatype != "FP32":
        found = tensor.datatype[:_SHOWN_NAME]
        raise _refused_input("inputs[0].datatype", f"{found!r} instead of 'FP32'")
    for name in filter(_means_another_answer, tensor.parameters):
        raise _refused_input("inputs[0].parameters", _no_parameter(name))
    return tensor


def _read_contents(contents: messages.InferTensorContents, size: int) -> NDArray[np.float32]:
    others = [field.name for field, _ in contents.ListFields() if field.name != "fp32_contents"]
    if others:
        raise _refused_input("inputs[0].contents", f"{', '.join(others)} instead of fp32_contents")
    values = contents.fp32_contents
    if len(values) != size:
        raise _refused_input(
            "inputs[0].contents.fp32_contents", f"{len(values)} numbers instead of {size}"
        )
    return np.fromiter(values, np.float32, count=size)


def _means_another_answer(parameter: str) -> bool:
    """Whether a client that sets a parameter expects another answer than without it.

    Such are those of Triton's extensions that are not served, and ours in another spelling. All
    others say how a client packs values (`content_type`, `binary_data_size`) or when it would like
    its answer (`priority`, `timeout`).
    """
    plain = parameter.lower().replace("_", "").replace("-", "")
    return plain.startswith(_OTHER_ANSWERS) or (plain in _OURS and parameter not in _OURS.values())


def _no_parameter(name: str) -> str:
    return f"{name[:_SHOWN_NAME]!r} would change the answer, and is not served"


def _refused(field: str, description: str) -> InvalidInputError:
    return InvalidInputError("request is refused", [FieldViolation(field, description)])


def _refused_input(field: str, description: str) -> ObservationError:
    return ObservationError("observation is refused", [FieldViolation(field, description)])
