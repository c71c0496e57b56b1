"""Between exceptions and gRPC statuses, in both directions."""

import re
from collections.abc import Sequence
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
    MessageTimeoutError,
    MessageTooLargeError,
    NotFoundError,
    ObservationError,
    OverloadedError,
    PermissionDeniedError,
    PolicyNotFoundError,
    RiskInputError,
    RiskPolicyError,
    RpcError,
    SettingsError,
    StorageError,
    TradewindError,
    TrainingError,
    UnauthenticatedError,
    UnavailableError,
    VersionNotFoundError,
)

__all__ = ["code_of", "error_from_rpc", "status_from_error"]

# A status travels in trailers, of which a client takes 8 KiB by default; with more it reports
# RESOURCE_EXHAUSTED instead. The message is there twice, once with three bytes for some of its own.
_MAX_MESSAGE_BYTES = 1024
_MAX_VIOLATIONS_BYTES = 896
_VIOLATION_OVERHEAD_BYTES = 8
_MAX_VALUE_BYTES = 256

_LARGER_THAN_MAX = re.compile(r"message larger than max \((?P<size>\d+) vs\. (?P<limit>\d+)\)")

# The most specific class of an exception that stands here decides.
_CODES: dict[type[TradewindError], int] = {
    InvalidInputError: code_pb2.INVALID_ARGUMENT,
    NotFoundError: code_pb2.NOT_FOUND,
    UnauthenticatedError: code_pb2.UNAUTHENTICATED,
    PermissionDeniedError: code_pb2.PERMISSION_DENIED,
    UnavailableError: code_pb2.UNAVAILABLE,
    StorageError: code_pb2.UNAVAILABLE,
    OverloadedError: code_pb2.RESOURCE_EXHAUSTED,
    MessageTimeoutError: code_pb2.DEADLINE_EXCEEDED,
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
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
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
    metadata = {key: _cut(value, _MAX_VALUE_BYTES) for key, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=metadata)
    if isinstance(error, InvalidInputError) and error.violations:
        violations = _shorten(error.violations)
        message = str(error)
        if violations != list(error.violations):
            message = message.removesuffix(_listed(error.violations)) + _listed(violations)
        bad_request = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field=violation.field, description=violation.description
                )
                for violation in violations
            ]
        )
        return _status(code, _cut(message, _MAX_MESSAGE_BYTES), info, bad_request)
    message = _cut(str(error), _MAX_MESSAGE_BYTES)
    if isinstance(error, OverloadedError) and error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        return _status(code, message, info, retry)
    return _status(code, message, info)


def error_from_rpc(error: grpc.RpcError) -> TradewindError:
    """The exception behind a failed call, as its server raised it.

    Field violations and metadata are those of the server. What no class of ours stands for, such
    as an exceeded deadline, becomes an RpcError that names the code.
    """
    call = cast("grpc.Call", error)  # grpcio raises failed calls as both classes at once
    code = call.code()
    message = call.details() or code.name
    status = rpc_status.from_call(call)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad_request = error_details_pb2.BadRequest()
    retry_after_s: float | None = None
    for detail in status.details if status is not None else ():
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() * 1e-9
        elif not detail.Unpack(info):
            detail.Unpack(bad_request)
    violations = [
        FieldViolation(item.field, item.description) for item in bad_request.field_violations
    ]
    too_large = _too_large(code, message, info)
    if too_large is not None:
        return too_large
    kind = _CLASSES_BY_REASON.get(info.reason) if info.domain == ERROR_DOMAIN else None
    kind = kind or _CLASSES_BY_CODE.get(code, RpcError)
    if issubclass(kind, RpcError):
        return RpcError(f"{code.name}: {message}", metadata={"code": code.name})
    if issubclass(kind, InvalidInputError):
        # The server's message already lists the violations behind a colon.
        if violations:
            message = message.removesuffix(f": {_listed(violations)}")
        return kind(message, violations, metadata=dict(info.metadata))
    metadata = dict(info.metadata)
    if kind is OverloadedError:
        reason = info.reason or None
        return OverloadedError(
            message, reason=reason, retry_after_s=retry_after_s, metadata=metadata
        )
    if kind is UnavailableError:
        return UnavailableError(message, reason=info.reason or None, metadata=metadata)
    return kind(message, metadata=metadata)


def code_of(error: TradewindError) -> str:
    """Name of the status that an exception of `error_from_rpc` stands for."""
    if isinstance(error, RpcError):
        return error.metadata.get("code", "UNKNOWN")
    return str(code_pb2.Code.Name(status_from_error(error).code))


def _too_large(
    code: grpc.StatusCode, message: str, info: error_details_pb2.ErrorInfo
) -> MessageTooLargeError | None:
    """A message that is larger than the server takes, or than gRPC's core takes on either side.

    The core says RESOURCE_EXHAUSTED and nothing but a text: `Sent message larger than max (9 vs.
    8)`. Taken for overload it would be sent again for ever.
    """
    if info.domain == ERROR_DOMAIN and info.reason == MessageTooLargeError.reason:
        size, limit = info.metadata.get("size_bytes", ""), info.metadata.get("limit_bytes", "")
        return MessageTooLargeError(int(size) if size.isdecimal() else None, int(limit or 0))
    said = _LARGER_THAN_MAX.search(message)
    if code != grpc.StatusCode.RESOURCE_EXHAUSTED or said is None:
        return None
    return MessageTooLargeError(int(said["size"]), int(said["limit"]))


def _listed(violations: Sequence[FieldViolation]) -> str:
    return "; ".join(str(violation) for violation in violations)


def _shorten(violations: Sequence[FieldViolation]) -> list[FieldViolation]:
    """The first violations, as many as there is room for, and how many more there are."""
    kept: list[FieldViolation] = []
    room = _MAX_VIOLATIONS_BYTES
    for violation in violations:
        short = FieldViolation(
            _cut(violation.field, _MAX_VALUE_BYTES), _cut(violation.description, _MAX_VALUE_BYTES)
        )
        room -= len(str(short).encode()) + _VIOLATION_OVERHEAD_BYTES
        if room < 0:
            return [*kept, FieldViolation("", f"and {len(violations) - len(kept)} more")]
        kept.append(short)
    return kept


def _cut(text: str, limit: int) -> str:
    encoded = text.encode(errors="replace")
    if len(encoded) > limit:
        encoded = encoded[: limit - 3] + "…".encode()
    return encoded.decode(errors="ignore")


def _status(
    code: int,
    message: str,
    *details: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo,
) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
