"""Whose a bearer token is, where a part of the operator's own says so."""

import hashlib
import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from prometheus_client import CollectorRegistry, Counter
from pydantic import Field

from tradewind.components import Door, a_class
from tradewind.errors import OverloadedError, UnauthenticatedError
from tradewind.part_options import PartSettings, open_part, raised_in
from tradewind.settings import Settings

__all__ = [
    "TOKEN_VERIFIERS",
    "TokenChecks",
    "TokenNotCheckedError",
    "TokenVerifier",
    "TokenVerifierSettings",
    "VerifiedToken",
]

_LOG: Final = logging.getLogger(__name__)
_MOST_AT_ONCE: Final = 64
_MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that is good.

    Attributes:
        subject: Whose it is, as `subjects` of an identity of the access policy has it.
        expires_s: Until when, seconds since the epoch; None where it does not say.
    """

    subject: str
    expires_s: float | None = None


class TokenVerifier(ABC):
    """Says whose a bearer token is; what that identity may do stays with the access policy.

    It is asked about tokens whose digest the access policy does not have, from several threads.
    Whatever it raises, and an answer that comes too late, is that the token is nobody's.

    Attributes:
        Options: What it can be set to, as the settings have it under `token_verifier.options`.
    """

    Options: ClassVar[type[Settings]] = Settings

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def verify(self, token: str) -> VerifiedToken | None:
        """Whose token it is; None when it is nobody's."""


TOKEN_VERIFIERS: Final[Door[type[TokenVerifier]]] = Door(
    "token verifier",
    a_class(TokenVerifier, "tradewind.rpc.access.TokenVerifier"),  # type: ignore[type-abstract]
    group="tradewind.token_verifiers",
)


class TokenVerifierSettings(PartSettings):
    """Who verifies bearer tokens beside the digests of the access policy."""

    door = TOKEN_VERIFIERS

    timeout_s: float = Field(default=1.0, gt=0.0, le=30.0)
    """How long it may take; a call waits so long, and is then refused."""

    remember_s: float = Field(default=60.0, gt=0.0, le=3600.0)
    """For how long a token that is good is not asked about again, at most until it expires."""


class TokenNotCheckedError(UnauthenticatedError):
    """The verifier has not been asked about the token lately.

    Args:
        token: The token, which no message shows.
    """

    def __init__(self, token: str) -> None:
        super().__init__("the bearer token is not known")
        self.token = token


@dataclass(eq=False, slots=True)
class _Check:
    """A token that is being looked at, and what is done then."""

    timer: threading.Timer
    then: list[Callable[[], None]] = field(default_factory=list)
    is_over: bool = False


class TokenChecks:
    """Asks the verifier, off the thread that accepts calls, and remembers the good tokens.

    Each question has a thread: one that hangs holds up no other, and once too many hang, tokens
    that are not remembered are refused at once.

    Args:
        settings: Which verifier.
        registry: Where its failures are counted.

    Attributes:
        remember_s: For how long a token is remembered.

    Raises:
        ComponentError: The verifier cannot be made.
    """

    def __init__(self, settings: TokenVerifierSettings, registry: CollectorRegistry) -> None:
        self._verifier = open_part(TOKEN_VERIFIERS, settings, "server.token_verifier")
        self._name = settings.kind
        self._timeout_s = settings.timeout_s
        self.remember_s = settings.remember_s
        self._failures = Counter(
            "tradewind_rpc_token_verifier_failures",
            "Tokens that were refused because their verifier failed, by how",
            ("how",),
            registry=registry,
        )
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._checks: dict[bytes, _Check] = {}
        self._asking = 0

    def subject(self, token: str) -> str:
        """Whose token it is, as far as that is remembered.

        Raises:
            TokenNotCheckedError: It is not.
        """
        found = self._known.get(_digest(token))
        if found is None or found[1] < time.monotonic():
            raise TokenNotCheckedError(token)
        return found[0]

    def check(self, token: str, then: Callable[[], None]) -> None:
        """Asks about a token; calls a function, in another thread, once that is over.

        Raises:
            OverloadedError: Too many are being asked about.
        """
        key = _digest(token)
        with self._lock:
            under_way = self._checks.get(key)
            if under_way is not None:
                under_way.then.append(then)
                return
            if self._asking >= _MOST_AT_ONCE:
                raise OverloadedError(
                    f"{_MOST_AT_ONCE} bearer tokens are being verified",
                    reason="TOO_MANY_TOKENS",
                    retry_after_s=self._timeout_s,
                )
            self._asking += 1
            check = self._checks[key] = _Check(
                threading.Timer(self._timeout_s, lambda: self._end(key, check, None, "slow")),
                [then],
            )
        check.timer.daemon = True
        check.timer.start()
        threading.Thread(
            target=self._ask, args=(key, check, token), name="token", daemon=True
        ).start()

    def wait(self, token: str) -> None:
        """Asks about a token, and waits until that is over.

        Raises:
            OverloadedError: Too many are being asked about.
        """
        over = threading.Event()
        self.check(token, over.set)
        over.wait(2.0 * self._timeout_s)

    def _ask(self, key: bytes, check: _Check, token: str) -> None:
        found: VerifiedToken | None = None
        failure = ""
        try:
            found = self._verifier.verify(token)
            if found is not None and not _is_sound(found):
                found, failure = None, f"gave {type(found).__name__}, no sound VerifiedToken"
        except BaseException as problem:  # it is someone's own code; its text may have the token
            failure = f"raised {raised_in(problem)}"
        with self._lock:
            self._asking -= 1
        self._end(key, check, found, failure)

    def _end(self, key: bytes, check: _Check, found: VerifiedToken | None, failure: str) -> None:
        with self._lock:
            if check.is_over:
                return
            check.is_over = True
            del self._checks[key]
            if found is not None:
                self._remember(key, found)
        check.timer.cancel()
        if failure:
            how = failure.partition(" ")[0]
            self._failures.labels(how).inc()
            said = f"took over {self._timeout_s:g} s" if how == "slow" else failure
            extra = {"flood_key": ("token_verifier", how)}
            _LOG.error("token verifier %s %s: the token is refused", self._name, said, extra=extra)
        for then in check.then:
            then()

    def _remember(self, key: bytes, found: VerifiedToken) -> None:
        left_s = self.remember_s
        if found.expires_s is not None:
            left_s = min(left_s, found.expires_s - time.time())
        if left_s > 0.0:
            self._known[key] = (found.subject, time.monotonic() + left_s)
            self._known.move_to_end(key)
            if len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)


def _is_sound(found: object) -> bool:
    if not isinstance(found, VerifiedToken) or not isinstance(found.subject, str):
        return False
    expires_s = found.expires_s
    is_time = isinstance(expires_s, int | float) and math.isfinite(expires_s)
    return bool(found.subject) and (expires_s is None or is_time)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
