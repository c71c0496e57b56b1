"""Whether callers are who they say they are."""

from tradewind.errors import PermissionDeniedError
from tradewind.rpc.access.policy import Identity

__all__ = ["proven", "proven_name"]


def proven_name(caller: Identity | None, claimed: str) -> str:
    """The name under which something is recorded; see `proven`.

    Args:
        caller: Who makes the call; None where there is no access policy that could tell, and the
            claim has to do.
        claimed: The name in the request; may be empty when the caller is known.
    """
    return claimed if caller is None else proven(caller, "name", claimed, caller.name)


def proven(caller: Identity, field: str, claimed: str, own: str) -> str:
    """What the caller has of a field: it need not say so, and may not say otherwise.

    Raises:
        PermissionDeniedError: The request claims something else than the caller has.
    """
    if claimed.strip() and claimed != own:
        raise PermissionDeniedError(
            f"{caller.name} may not act under another {field}",
            metadata={"identity": caller.name, "field": field, "claimed": claimed, "own": own},
        )
    return own
