"""Lets a call through to its handler when its caller has one of the method's roles."""

from __future__ import annotations  # grpcio's own classes are generic in their stubs only

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from prometheus_client import CollectorRegistry

from tradewind.errors import PermissionDeniedError, UnauthenticatedError
from tradewind.rpc.access.policy import AccessPolicy, Identity
from tradewind.rpc.access.roles import METHOD_ROLES, PUBLIC_METHODS, Role
from tradewind.rpc.access.source import AccessSource
from tradewind.rpc.access.verifier import (
    TokenChecks,
    TokenNotCheckedError,
    TokenVerifierSettings,
)
from tradewind.rpc.handlers import Handler, wrap_handler

__all__ = ["AccessControl", "Authorise"]

_AUTHORIZATION: Final = "authorization"
_NOBODY: Final[frozenset[Role]] = frozenset()

Looked = TypeVar("Looked")

Authorise = Callable[[grpc.ServicerContext], AccessPolicy]
"""Lets the call go on, under the policy that it returns, or raises."""


class AccessControl:
    """The roles of one server's methods.

    Who calls is looked up at every call: a decision kept for an address would pass to the next
    client that connects from the same port.

    Args:
        path: The access policy.
        registry: Where refusals of a changed file are counted.
        verifier: Who verifies bearer tokens beside it; None for nobody.

    Attributes:
        checks: What the verifier said; None without one.

    Raises:
        SettingsError: The file is refused, or the verifier cannot be made.
    """

    def __init__(
        self,
        path: Path,
        registry: CollectorRegistry,
        verifier: TokenVerifierSettings | None = None,
    ) -> None:
        self._source = AccessSource(path, registry)
        self.follow = self._source.follow
        self.checks = None if verifier is None else TokenChecks(verifier, registry)

    def identify(self, context: grpc.ServicerContext) -> Identity:
        """Who makes a call, in whose thread this is asked: it may wait for the token verifier.

        Raises:
            UnauthenticatedError: Nobody that the access policy knows.
            OverloadedError: The token verifier has too much to do.
        """
        return self._waiting(lambda: self.look_up(context))

    def look_up(self, context: grpc.ServicerContext) -> Identity:
        """Who makes a call, as far as that is known at once.

        Raises:
            TokenNotCheckedError: Its token has to be verified first.
            UnauthenticatedError: Nobody that the access policy knows.
        """
        return _identify(self._source.current, self.checks, context)

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
        look = self._authoriser(method)

        def authorise(context: grpc.ServicerContext) -> AccessPolicy:
            return self._waiting(lambda: look(context))

        return wrap_handler(
            handler, lambda call: call, lambda stream: self._guard_stream(authorise, stream)
        )

    def _guard_stream(self, authorise: Authorise, stream: Handler) -> Handler:
        source, checks = self._source, self.checks

        def guarded(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            policy = authorise(context)
            due = None if checks is None else time.monotonic() + checks.remember_s
            answers = stream(request, context)
            try:
                for answer in answers:
                    # Who has lost the role, or whose token has expired, gets no further answer.
                    is_due = due is not None and time.monotonic() >= due
                    if source.current is not policy or is_due:
                        policy = authorise(context)
                        due = None if checks is None else time.monotonic() + checks.remember_s
                    yield answer
            finally:
                if isinstance(answers, Generator):
                    answers.close()

        return guarded

    def _authoriser(self, method: str) -> Authorise:
        allowed = METHOD_ROLES.get(method, _NOBODY)
        source, checks = self._source, self.checks

        def authorise(context: grpc.ServicerContext) -> AccessPolicy:
            policy = source.current
            identity = _identify(policy, checks, context)
            if allowed.isdisjoint(identity.roles):
                raise _denied(identity, method, allowed)
            return policy

        return authorise

    def _waiting(self, look: Callable[[], Looked]) -> Looked:
        """Looks at a caller, and again once its token has been verified."""
        try:
            return look()
        except TokenNotCheckedError as unknown:
            assert self.checks is not None
            self.checks.wait(unknown.token)
        return look()


def _identify(
    policy: AccessPolicy, checks: TokenChecks | None, context: grpc.ServicerContext
) -> Identity:
    """A token decides alone: who shows one that is not known is not asked for a certificate."""
    shown = [value for key, value in context.invocation_metadata() if key == _AUTHORIZATION]
    if shown:
        token = _token(shown)
        try:
            return policy.of_token(token)
        except UnauthenticatedError:
            if checks is None:
                raise
        return policy.of_subject(checks.subject(token))
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
