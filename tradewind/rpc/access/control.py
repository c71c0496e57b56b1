"""Lets a call through to its handler when its caller has one of the method's roles."""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
from prometheus_client import CollectorRegistry

from tradewind.errors import PermissionDeniedError, UnauthenticatedError
from tradewind.rpc.access.policy import AccessPolicy, Identity
from tradewind.rpc.access.roles import METHOD_ROLES, PUBLIC_METHODS, Role
from tradewind.rpc.access.source import AccessSource
from tradewind.rpc.handlers import Handler, wrap_handler

__all__ = ["AccessControl", "Authorise"]

_AUTHORIZATION: Final = "authorization"
_NOBODY: Final[frozenset[Role]] = frozenset()

Authorise = Callable[[grpc.ServicerContext], AccessPolicy]
"""Lets the call go on, under the policy that it returns, or raises."""


class AccessControl:
    """The roles of one server's methods.

    Who calls is looked up at every call: a decision kept for an address would pass to the next
    client that connects from the same port.

    Args:
        path: The access policy.
        registry: Where refusals of a changed file are counted.

    Raises:
        SettingsError: The file is refused.
    """

    def __init__(self, path: Path, registry: CollectorRegistry) -> None:
        self._source = AccessSource(path, registry)
        self.follow = self._source.follow

    def identify(self, context: grpc.ServicerContext) -> Identity:
        """Who makes a call.

        Raises:
            UnauthenticatedError: Nobody that the access policy knows.
        """
        return _identify(self._source.current, context)

    @property
    def policy(self) -> AccessPolicy:
        """The policy in force."""
        return self._source.current

    def authoriser(self, method: str) -> Authorise | None:
        """What lets the calls of a method go on; None for one that is public.

        Args:
            method: Its full name, `/package.Service/Method`.
        """
        return None if method in PUBLIC_METHODS else self._authoriser(method)

    def guard_stream(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Has every answer of a stream depend on the caller's role; one answer is as it is."""
        if method in PUBLIC_METHODS:
            return handler
        authorise = self._authoriser(method)
        return wrap_handler(
            handler, lambda call: call, lambda stream: self._guard_stream(authorise, stream)
        )

    def _guard_stream(self, authorise: Authorise, stream: Handler) -> Handler:
        source = self._source

        def guarded(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            policy = authorise(context)
            answers = stream(request, context)
            try:
                for answer in answers:
                    # Who has lost the role gets no further answer on a stream that is open.
                    if source.current is not policy:
                        policy = authorise(context)
                    yield answer
            finally:
                if isinstance(answers, Generator):
                    answers.close()

        return guarded

    def _authoriser(self, method: str) -> Authorise:
        allowed = METHOD_ROLES.get(method, _NOBODY)
        source = self._source

        def authorise(context: grpc.ServicerContext) -> AccessPolicy:
            policy = source.current
            identity = _identify(policy, context)
            if allowed.isdisjoint(identity.roles):
                raise _denied(identity, method, allowed)
            return policy

        return authorise


def _identify(policy: AccessPolicy, context: grpc.ServicerContext) -> Identity:
    """A token decides alone: who shows one that is not known is not asked for a certificate."""
    shown = [value for key, value in context.invocation_metadata() if key == _AUTHORIZATION]
    if shown:
        return policy.of_token(_token(shown))
    names = context.peer_identities()
    if names:
        return policy.of_certificate(list(names))
    raise UnauthenticatedError("a bearer token or a client certificate is required")


def _token(shown: list[str | bytes]) -> str:
    if len(shown) == 1 and isinstance(value := shown[0], str):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            return token
    raise UnauthenticatedError("authorization must stand once, as `Bearer TOKEN`")


def _denied(identity: Identity, method: str, allowed: frozenset[Role]) -> PermissionDeniedError:
    roles = ", ".join(sorted(allowed)) or "no role that there is"
    return PermissionDeniedError(
        f"{identity.name} may not call {method.rpartition('/')[2]}: that takes {roles}",
        metadata={"identity": identity.name, "method": method, "roles": ",".join(sorted(allowed))},
    )
