import string
from base64 import b64encode
from urllib.parse import quote

import pytest
from google.rpc import code_pb2, error_details_pb2

from tradewind import errors
from tradewind.errors import FieldViolation, InvalidInputError, PolicyNotFoundError, TradewindError
from tradewind.rpc.status import status_from_error


def all_errors(root: type[TradewindError]) -> list[type[TradewindError]]:
    return [root, *(found for child in root.__subclasses__() for found in all_errors(child))]


def test_error_reasons_with_every_class_are_distinct() -> None:
    classes = [kind for kind in all_errors(TradewindError) if kind.__module__ == errors.__name__]
    assert len({kind.reason for kind in classes}) == len(classes)
    assert {kind.__name__ for kind in classes} <= set(errors.__all__)
    # One that only our own code tells from its parent is the parent to a caller.
    for kind in all_errors(TradewindError):
        parent = next((p for p in kind.__mro__[1:] if issubclass(p, TradewindError)), kind)
        assert kind in classes or kind.reason == parent.reason


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ObservationError("x"), code_pb2.INVALID_ARGUMENT),
        (errors.VersionNotFoundError("x"), code_pb2.NOT_FOUND),
        (errors.UnavailableError("x"), code_pb2.UNAVAILABLE),
        (errors.StorageError("x"), code_pb2.UNAVAILABLE),
        (errors.OverloadedError("x"), code_pb2.RESOURCE_EXHAUSTED),
        (errors.ConflictError("x"), code_pb2.FAILED_PRECONDITION),
        (errors.BundleGoldenError("x"), code_pb2.FAILED_PRECONDITION),
    ],
)
def test_status_from_error_with_each_family_gives_its_code(
    error: TradewindError, code: int
) -> None:
    status = status_from_error(error)
    info = error_details_pb2.ErrorInfo()
    assert status.code == code
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (error.reason, "tradewind")


def test_status_from_error_with_violations_carries_a_bad_request() -> None:
    error = InvalidInputError(
        "refused", [FieldViolation("a.b", "must be 1"), FieldViolation("c", "no")]
    )
    bad_request = error_details_pb2.BadRequest()
    assert status_from_error(error).details[1].Unpack(bad_request)
    found = [(item.field, item.description) for item in bad_request.field_violations]
    assert found == [("a.b", "must be 1"), ("c", "no")]


def test_status_from_error_with_metadata_keeps_it() -> None:
    status = status_from_error(PolicyNotFoundError("no policy x", metadata={"policy": "x"}))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert dict(info.metadata) == {"policy": "x"}


def test_status_from_error_with_more_than_a_trailer_holds_is_shortened() -> None:
    bad = [FieldViolation(f"values[{number}]", "ü" * 40) for number in range(1_000)]
    for error in (
        InvalidInputError("refused", bad),
        InvalidInputError("refused", [FieldViolation("", "x")] * 1_000),
        InvalidInputError("refused", [FieldViolation("a" * 10_000, "b" * 10_000)]),
        PolicyNotFoundError("ü" * 10_000, metadata={"policy": "x" * 10_000}),
    ):
        status = status_from_error(error)
        message = quote(status.message, safe=string.printable)
        assert len(message) + len(b64encode(status.SerializeToString())) < 7_500

    bad_request = error_details_pb2.BadRequest()
    status = status_from_error(InvalidInputError("refused", bad))
    assert status.details[1].Unpack(bad_request)
    *kept, last = bad_request.field_violations
    assert [item.field for item in kept] == [f"values[{number}]" for number in range(len(kept))]
    assert len(kept) > 3
    assert last.description == f"and {1_000 - len(kept)} more"
    assert status.message.startswith("refused: values[0]: üü")
    assert status.message.endswith(f"; {last.description}")


def test_status_from_error_with_a_lone_surrogate_can_be_sent() -> None:
    assert status_from_error(errors.StorageError("no file \udc80")).message == "no file ?"


@pytest.mark.parametrize("defect", [ValueError("secret"), TradewindError("secret")])
def test_status_from_error_with_a_defect_hides_it(defect: Exception) -> None:
    status = status_from_error(defect)
    assert status.code == code_pb2.INTERNAL
    assert "secret" not in str(status)
