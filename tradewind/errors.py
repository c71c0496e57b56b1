"""Every exception that Tradewind raises on purpose.

TradewindError
 ├─ InvalidInputError            what the caller sent is wrong; `violations` names each field
 │   ├─ SettingsError            a settings file or dict: unknown key, wrong type, out of range
 │   │   ├─ RiskPolicyError      the risk policy YAML
 │   │   └─ ComponentError       a part of the user's own that cannot be had, or is none
 │   ├─ MarketDataError          bars that cannot be used; says which row
 │   ├─ ObservationError         an observation of the wrong shape, type or with NaN or infinity
 │   ├─ RiskInputError           risk inputs that contradict each other
 │   └─ MessageTooLargeError     a message that is larger than the other side takes
 ├─ NotFoundError                a named thing does not exist
 │   ├─ PolicyNotFoundError
 │   ├─ VersionNotFoundError
 │   └─ JobNotFoundError
 ├─ UnauthenticatedError         a caller that proves to be nobody the server knows
 ├─ PermissionDeniedError        a known caller without the role that the call takes
 ├─ UnavailableError             cannot answer now, may later: nothing loaded yet, draining
 ├─ OverloadedError              refused at once instead of queued; `reason` says what is full
 ├─ MessageTimeoutError          a call whose message did not come in time
 ├─ ConflictError                the state does not allow it: already ended, already exists
 ├─ BundleError                  a bundle that must not serve; `reason` is machine-readable
 │   ├─ BundleFormatError        metadata missing, truncated, of an unknown version or contradictory
 │   ├─ BundleIntegrityError     a digest, a file name or a size that does not match
 │   ├─ BundleRuntimeError       the network does not load or run
 │   └─ BundleGoldenError        the network runs but does not give the recorded answers
 ├─ LoweringError                a network that the compiled runtime cannot execute
 ├─ TrainingError                a training that cannot start or go on
 │   ├─ ExportError              a model that cannot become a bundle
 │   └─ StoppedByRiskError       risk_score stayed over the early-stop threshold
 ├─ StorageError                 durable state that cannot be read or written
 └─ RpcError                     a call that failed in a way no other class stands for

None of them knows a transport: tradewind.rpc maps them to status codes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = [
    "BundleError",
    "BundleFormatError",
    "BundleGoldenError",
    "BundleIntegrityError",
    "BundleRuntimeError",
    "ComponentError",
    "ConflictError",
    "ExportError",
    "FieldViolation",
    "InvalidInputError",
    "JobNotFoundError",
    "LoweringError",
    "MarketDataError",
    "MessageTimeoutError",
    "MessageTooLargeError",
    "NotFoundError",
    "ObservationError",
    "OverloadedError",
    "PermissionDeniedError",
    "PolicyNotFoundError",
    "RiskInputError",
    "RiskPolicyError",
    "RpcError",
    "SettingsError",
    "StoppedByRiskError",
    "StorageError",
    "TradewindError",
    "TrainingError",
    "UnauthenticatedError",
    "UnavailableError",
    "VersionNotFoundError",
]


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong.

    Attributes:
        field: Path of the field as its user wrote it, e.g. `portfolio_values[3]`.
        description: What is wrong with it and what is allowed.
    """

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class TradewindError(Exception):
    """Root of every exception that Tradewind raises on purpose.

    Args:
        message: What went wrong, for people.
        reason: The cause, where it is more than the class says; see the class.
        metadata: The names and numbers in the message, for programs.
    """

    reason = "TRADEWIND_ERROR"
    """Machine-readable cause, stable across releases (google.rpc.ErrorInfo.reason)."""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        self.metadata = dict(metadata or {})


class InvalidInputError(TradewindError):
    """What the caller sent is wrong.

    Args:
        message: What was refused; with no violations, also why.
        violations: Each field that is wrong.
    """

    reason = "INVALID_INPUT"

    def __init__(
        self,
        message: str,
        violations: Iterable[FieldViolation] = (),
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.violations = tuple(violations)
        details = "; ".join(str(violation) for violation in self.violations)
        super().__init__(f"{message}: {details}" if details else message, metadata=metadata)


class SettingsError(InvalidInputError):
    """A settings file or dict that is refused."""

    reason = "INVALID_SETTINGS"


class RiskPolicyError(SettingsError):
    """A risk policy YAML that is refused."""

    reason = "INVALID_RISK_POLICY"


class ComponentError(SettingsError):
    """A part of the user's own cannot be imported, is of another kind, or cannot be made."""

    reason = "COMPONENT_REFUSED"


class MarketDataError(InvalidInputError):
    """Bars that cannot be used; the violations name rows and columns."""

    reason = "INVALID_MARKET_DATA"


class ObservationError(InvalidInputError):
    """An observation of the wrong shape or type, or with a NaN or infinite value."""

    reason = "INVALID_OBSERVATION"


class RiskInputError(InvalidInputError):
    """Risk inputs that contradict each other, such as lists of different lengths."""

    reason = "INVALID_RISK_INPUTS"


class MessageTooLargeError(InvalidInputError):
    """A message that is larger than the other side takes; sent again, it is refused again.

    Args:
        size_bytes: Of the message; None where that is not known.
        limit_bytes: Of the largest one that is taken.
    """

    reason = "MESSAGE_TOO_LARGE"

    def __init__(self, size_bytes: int | None, limit_bytes: int) -> None:
        size = "a message" if size_bytes is None else f"a message of {size_bytes} bytes"
        metadata = {} if size_bytes is None else {"size_bytes": str(size_bytes)}
        super().__init__(
            f"{size} is larger than the {limit_bytes} bytes that are taken; send fewer at once",
            metadata={**metadata, "limit_bytes": str(limit_bytes)},
        )


class NotFoundError(TradewindError):
    """A named thing does not exist."""

    reason = "NOT_FOUND"


class PolicyNotFoundError(NotFoundError):
    """No policy of that name is served."""

    reason = "POLICY_NOT_FOUND"


class VersionNotFoundError(NotFoundError):
    """The policy is served, but not in that version."""

    reason = "VERSION_NOT_FOUND"


class JobNotFoundError(NotFoundError):
    """No training job has that id."""

    reason = "JOB_NOT_FOUND"


class UnauthenticatedError(TradewindError):
    """The caller shows no proof of who it is, or one of nobody that the server knows."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(TradewindError):
    """The caller is known and may not do this."""

    reason = "PERMISSION_DENIED"


class UnavailableError(TradewindError):
    """Cannot answer now, may later: nothing loaded yet, or draining.

    Args:
        message: What is not there.
        reason: The cause, such as STARTING; by default the reason of the class.
        metadata: The names and numbers in the message, for programs.
    """

    reason = "UNAVAILABLE"


class OverloadedError(TradewindError):
    """Refused at once because too much is under way.

    Args:
        message: What there is too much of.
        reason: The cause, such as TOO_MANY_CALLS; by default the reason of the class.
        retry_after_s: When it is worth to ask again; None where asking again does not help.
        metadata: The names and numbers in the message, for programs.
    """

    reason = "OVERLOADED"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_after_s = retry_after_s


class MessageTimeoutError(TradewindError):
    """A call that began, and whose message did not come in time."""

    reason = "MESSAGE_TIMEOUT"


class ConflictError(TradewindError):
    """The present state does not allow what was asked."""

    reason = "CONFLICT"


class BundleError(TradewindError):
    """A policy bundle that must not serve.

    Args:
        message: What was refused: file, expected, found.
        reason: The cause, a tradewind.bundle.BundleFault; by default the reason of the class.
        metadata: The names and numbers in the message, for programs.
    """

    reason = "BUNDLE_INVALID"


class BundleFormatError(BundleError):
    """The metadata is missing, truncated, of an unknown format version or contradicts itself."""

    reason = "BUNDLE_FORMAT"


class BundleIntegrityError(BundleError):
    """A file's digest, name or size is not what the metadata says."""

    reason = "BUNDLE_INTEGRITY"


class BundleRuntimeError(BundleError):
    """The network does not load, or fails when it runs."""

    reason = "BUNDLE_RUNTIME"


class BundleGoldenError(BundleError):
    """The network runs but does not give the recorded answers."""

    reason = "BUNDLE_GOLDEN"


class LoweringError(TradewindError):
    """A network that the compiled runtime cannot execute; TorchScript can."""

    reason = "NETWORK_NOT_LOWERED"


class TrainingError(TradewindError):
    """A training that cannot start or cannot go on."""

    reason = "TRAINING_FAILED"


class ExportError(TrainingError):
    """A model that cannot become a bundle."""

    reason = "EXPORT_FAILED"


class StoppedByRiskError(TrainingError):
    """The risk score stayed over the early-stop threshold."""

    reason = "STOPPED_BY_RISK"


class StorageError(TradewindError):
    """Durable state that cannot be read or written."""

    reason = "STORAGE_FAILED"


class RpcError(TradewindError):
    """A call that failed in a way no other class stands for, such as an exceeded deadline."""

    reason = "RPC_FAILED"
