"""Between exceptions and gRPC statuses, in both directions."""

from typing import cast

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from tradewind.constants import ERROR_DOMAIN
from tradewind.errors import (
    BundleError,
    ConflictError,
    FieldViolation,
    InvalidInputError,
    JobNotFoundError,
    NotFoundError,
    ObservationError,
    OverloadedError,
    PolicyNotFoundError,
    RiskInputError,
    RiskPolicyError,
    RpcError,
    SettingsError,
    StorageError,
    TradewindError,
    TrainingError,
    UnavailableError,
    VersionNotFoundError,
)

__all__ = ["error_from_rpc", "status_from_error"]

# The most specific class of an exception that stands here decides.
_CODES: dict[type[TradewindError], int] = {
    InvalidInputError: code_pb2.INVALID_ARGUMENT,
    NotFoundError: code_pb2.NOT_FOUND,
    UnavailableError: code_pb2.UNAVAILABLE,
    StorageError: code_pb2.UNAVAILABLE,
    OverloadedError: code_pb2.RESOURCE_EXHAUSTED,
    ConflictError: code_pb2.FAILED_PRECONDITION,
    BundleError: code_pb2.FAILED_PRECONDITION,
    TrainingError: code_pb2.FAILED_PRECONDITION,
}

_CLASSES_BY_REASON: dict[str, type[TradewindError]] = {
    error.reason: error
    for error in (
        ObservationError,
        RiskInputError,
        RiskPolicyError,
        SettingsError,
        PolicyNotFoundError,
        VersionNotFoundError,
        JobNotFoundError,
        StorageError,
        TrainingError,
    )
}

_CLASSES_BY_CODE: dict[grpc.StatusCode, type[TradewindError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInputError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.FAILED_PRECONDITION: ConflictError,
}


def status_from_error(error: BaseException) -> status_pb2.Status:
    """The google.rpc.Status of an exception, with ErrorInfo and, for bad input, BadRequest.

    Anything that is not a TradewindError is a defect: INTERNAL with a generic message, so that
    nothing of the server's insides reaches a caller.
    """
    code = next((_CODES[base] for base in type(error).__mro__ if base in _CODES), None)
    if code is None or not isinstance(error, TradewindError):
        info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=ERROR_DOMAIN)
        return _status(code_pb2.INTERNAL, "internal error; the server's log has the details", info)
    info = error_details_pb2.ErrorInfo(
        reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata
    )
    if isinstance(error, InvalidInputError) and error.violations:
        bad_request = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=violation.field, description=violation.description
                )
                for violation in error.violations
            ]
        )
        return _status(code, str(error), info, bad_request)
    return _status(code, str(error), info)


def error_from_rpc(error: grpc.RpcError) -> TradewindError:
    """The exception behind a failed call, as its server raised it.

    Field violations and metadata are those of the server. What no class of ours stands for, such
    as an exceeded deadline, becomes an RpcError that names the code.
    """
    call = cast("grpc.Call", error)  # grpcio raises failed calls as both classes at once
    code = call.code()
    message = call.details() or code.name
    status = rpc_status.from_call(call)
    info, violations = error_details_pb2.ErrorInfo(), []
    for detail in status.details if status is not None else ():
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(info) or not detail.Unpack(bad_request):
            continue
        violations = [
            FieldViolation(item.field, item.description) for item in bad_request.field_violations
        ]
    kind = _CLASSES_BY_REASON.get(info.reason) if info.domain == ERROR_DOMAIN else None
    kind = kind or _CLASSES_BY_CODE.get(code, RpcError)
    if issubclass(kind, RpcError):
        return RpcError(f"{code.name}: {message}", metadata={"code": code.name})
    if issubclass(kind, InvalidInputError):
        # The server's message already lists the violations behind a colon.
        listed = "; ".join(str(violation) for violation in violations)
        message = message.removesuffix(f": {listed}") if listed else message
        return kind(message, violations, metadata=dict(info.metadata))
    return kind(message, metadata=dict(info.metadata))


def _status(
    code: int,
    message: str,
    *details: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest,
) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
