"""In whose name a halt is cleared."""

from tradewind.errors import PermissionDeniedError
from tradewind.rpc.access import Identity

__all__ = ["resuming_actor"]


def resuming_actor(caller: Identity | None, name: str, role: str) -> tuple[str, str]:
    """The name and the role that the audit trail records for a Resume.

    A caller that has proved who it is resumes as itself: it need not say so, and may not say
    otherwise. The trail never holds a name that nobody has proved beside one that somebody has.

    Args:
        caller: Who makes the call; None where there is no access policy that could tell.
        name: The name in the request.
        role: The role in the request.

    Raises:
        PermissionDeniedError: The request claims another name or role than the caller has.
    """
    if caller is None:
        return name, role
    for field, claimed, own in (("name", name, caller.name), ("role", role, caller.resumes_as)):
        if claimed.strip() and claimed != own:
            raise PermissionDeniedError(
                f"{caller.name} may not resume under another {field}",
                metadata={"identity": caller.name, "field": field, "claimed": claimed, "own": own},
            )
    return caller.name, caller.resumes_as
