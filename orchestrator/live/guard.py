"""Who may talk to the live view, and what a browser may do with its pages."""

import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from aiohttp import web

__all__ = ["HEADERS", "RequestGuard"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TOKEN_HEADER: Final = "X-Tradewind-Token"  # noqa: S105 - the name of a header

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class RequestGuard:
    """Refuses what a page of another site could make a browser send.

    - The Host must be an IP address, localhost or a name of the settings: no name that somebody
      else points at this machine (DNS rebinding) is answered.
    - An Origin, where there is one, must be the Host.
    - What changes something needs a token that only the page itself can read.

    Args:
        hosts: Names of this view, beside localhost.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = frozenset({"localhost", *(host.lower() for host in hosts)})
        self.token = secrets.token_urlsafe(32)

    def check(self, request: web.Request) -> None:
        """Refuses a request.

        Raises:
            web.HTTPForbidden: It must not be answered.
        """
        host = request.headers.get("Host", "")
        if not self._is_ours(host):
            raise web.HTTPForbidden(text=f"{host!r} is no name of this view: live.hosts lists them")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            raise web.HTTPForbidden(text=f"pages of {origin!r} may not use this view")

    def check_change(self, request: web.Request) -> None:
        """Refuses a request that would change something.

        Raises:
            web.HTTPForbidden: It does not come from the page.
        """
        given = request.headers.get(TOKEN_HEADER, "")
        if "Origin" not in request.headers or not hmac.compare_digest(
            given.encode(), self.token.encode()
        ):
            raise web.HTTPForbidden(text="only the page itself may do this: load it again")

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
