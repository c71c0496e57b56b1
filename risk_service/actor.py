"""In whose name a halt is cleared."""

from tradewind.rpc.access import Identity, proven, proven_name

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
    return proven_name(caller, name), proven(caller, "role", role, caller.resumes_as)
