"""How a TorchScript archive is refused."""

from tradewind.bundle import BundleFault
from tradewind.errors import BundleRuntimeError

__all__ = ["forbidden", "unloadable"]


def forbidden(operation: str, place: str, why: str = "") -> BundleRuntimeError:
    """The error of an archive that would do what no policy may.

    Args:
        operation: What it would do.
        place: Where that stands: record, line, method.
        why: What is wrong with it, when its name does not say so.
    """
    return BundleRuntimeError(
        f"policy.pt uses {operation} at {place}, which no policy may: "
        f"{why or 'it is not among the allowed operations'}",
        reason=BundleFault.MODEL_OPERATION_FORBIDDEN,
        metadata={"operation": operation[:200], "place": place[:200]},
    )


def unloadable(what: object) -> BundleRuntimeError:
    """The error of an archive that is no scripted network."""
    return BundleRuntimeError(
        f"policy.pt is not a scripted network with the methods forward and distribution: {what}",
        reason=BundleFault.MODEL_UNLOADABLE,
    )
