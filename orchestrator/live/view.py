"""Serves the live view and the metrics over HTTP, in a process of their own."""

import asyncio
import contextlib
import logging
from importlib import resources
from types import TracebackType
from typing import Annotated, Final, Self

from aiohttp import WSCloseCode, web
from aiohttp.typedefs import Middleware
from pydantic import Field, ValidationError

from orchestrator.agents.services import resume_command
from orchestrator.events import EventBus
from orchestrator.live.desk import RiskDesk
from orchestrator.live.door import Bounds, Door
from orchestrator.live.guard import HEADERS, Handler, RequestGuard
from orchestrator.live.hub import Browser, Hub
from orchestrator.live.metrics_page import metrics_response
from orchestrator.live.state import LiveState
from orchestrator.metrics import MetricsText
from orchestrator.settings import LiveSettings, OrchestratorSettings
from tradewind.errors import ConflictError, InvalidInputError, SettingsError, TradewindError
from tradewind.ports import why_not
from tradewind.settings import Settings
from tradewind.tracing import Tracer

__all__ = ["LiveView"]

_logger = logging.getLogger(__name__)

_HEARTBEAT_S: Final = 15.0
_CLOSE_S: Final = 1.0
_SEND_S: Final = 10.0
_STATE_EVERY_S: Final = 1.0
_LARGEST_REQUEST: Final = 16 * 1024

_FILES: Final = {
    "index.html": "text/html",
    "live.css": "text/css",
    "live.js": "text/javascript",
    "charts.js": "text/javascript",
    "tables.js": "text/javascript",
    "halt.js": "text/javascript",
    "format.js": "text/javascript",
    "favicon.svg": "image/svg+xml",
    "vendor/uPlot.iife.min.js": "text/javascript",
    "vendor/uPlot.min.css": "text/css",
}

_Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]


class _ResumeRequest(Settings):
    name: _Text
    role: _Text
    reason: _Text


class LiveView:
    """The live view as a context: it is served inside, and ended with it.

    Args:
        settings: The account; its `live` says where to listen.
        live: The same, which must be there.
        bus: What the orchestrator says.
        tracer: Gives every call of the view a span; none by default.

    Attributes:
        url: Where a browser on this machine finds it; set inside the context.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        live: LiveSettings,
        bus: EventBus,
        tracer: Tracer | None = None,
    ) -> None:
        self._live = live
        self._desk = RiskDesk(settings.services, settings.account, tracer)
        self._guard = RequestGuard(live.hosts)
        self._hub = Hub(
            bus,
            LiveState(settings, live.points),
            self._desk,
            interval_s=live.interval_s,
            resume={
                "allowed": live.allow_resume,
                "token": self._guard.token if live.allow_resume else "",
                "command": resume_command(settings.services, settings.account),
            },
        )
        self._door = Door(Bounds())
        self._metrics = MetricsText(bus, self._hub.counts)
        static = resources.files("orchestrator.live") / "static"
        self._files = {name: (static / name).read_bytes() for name in _FILES}
        self._sockets: set[web.WebSocketResponse] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        """Starts to listen.

        Raises:
            SettingsError: The address cannot be listened on, or a TLS file cannot be used.
        """
        await self._desk.__aenter__()  # first: what it refuses must not leave an open port
        try:
            await self._door.open(self._application(), self._live.listen)
        except OSError as problem:
            await self._desk.__aexit__()
            listen = self._live.listen
            why = why_not(listen, problem)
            raise SettingsError(f"cannot serve the live view on {listen}: {why}") from None
        self.url = f"http://{self._door.address}/"
        self._following = asyncio.create_task(self._hub.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Sends the last word and stops; whatever fails here is only logged."""
        try:
            async with asyncio.timeout(3 * _CLOSE_S):
                await self._close()
        except Exception:
            _logger.exception("the live view did not end in order")

    async def _close(self) -> None:
        await asyncio.sleep(0)  # lets the last tick be taken in
        if not self._hub.failed:
            self._hub.tell_last()
        self._following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._following
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                while self._sockets:
                    await asyncio.sleep(0.01)
        await self._desk.__aexit__()
        await self._door.close()

    def _application(self) -> web.Application:
        application = web.Application(
            middlewares=[self._door.middleware(), self._middleware()],
            client_max_size=_LARGEST_REQUEST,
        )
        application.router.add_get("/", self._page)
        application.router.add_get("/static/{name:.+}", self._file)
        application.router.add_get("/stream", self._stream)
        application.router.add_get("/state", self._state)
        application.router.add_get("/metrics", self._show_metrics)
        application.router.add_post("/resume", self._resume)
        return application

    def _middleware(self) -> Middleware:
        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._guard.check(request)
                response = await handler(request)
            except web.HTTPException as problem:
                response = web.Response(status=problem.status, text=problem.text)
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        return guarded

    async def _page(self, _: web.Request) -> web.Response:
        return self._static("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound(text="there is no such file")
        return self._static(name)

    def _static(self, name: str) -> web.Response:
        return web.Response(body=self._files[name], content_type=_FILES[name], charset="utf-8")

    async def _state(self, request: web.Request) -> web.Response:
        self._check_alive()
        await self._door.space_out(request, "state", _STATE_EVERY_S)
        return web.Response(body=self._hub.state_json(), content_type="application/json")

    async def _show_metrics(self, request: web.Request) -> web.Response:
        return metrics_response(request, self._metrics)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self._check_alive()
        if self._hub.browser_count >= self._live.max_browsers:
            raise web.HTTPServiceUnavailable(text="too many look already: live.max_browsers")
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, compress=False, max_msg_size=1024)
        await socket.prepare(request)
        self._door.let_stay(request)
        self._sockets.add(socket)
        try:
            with self._hub.browser() as browser:
                sending = asyncio.create_task(_send(socket, browser, request))
                async for _ in socket:
                    # Nothing is asked this way: who says something is no page of ours.
                    await socket.close(code=WSCloseCode.POLICY_VIOLATION)
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await sending
        finally:
            self._sockets.discard(socket)
        return socket

    async def _resume(self, request: web.Request) -> web.Response:
        if not self._live.allow_resume:
            raise web.HTTPForbidden(text="live.allow_resume is off: resume it by the command")
        self._guard.check_change(request)
        try:
            asked = _ResumeRequest.model_validate_json(await request.read())
        except ValidationError as problem:
            fields = ", ".join(str(error["loc"][0]) for error in problem.errors() if error["loc"])
            raise web.HTTPBadRequest(text=f"needed are name, role, reason: {fields}") from None
        try:
            decision_id = await self._hub.resume(asked.name, asked.role, asked.reason)
        except InvalidInputError as problem:
            raise web.HTTPBadRequest(text=str(problem)) from None
        except ConflictError as problem:
            raise web.HTTPConflict(text=str(problem)) from None
        except TradewindError as problem:
            raise web.HTTPServiceUnavailable(
                text=f"whether it was resumed is not known: {problem}"
            ) from None
        return web.json_response({"decision_id": decision_id})

    def _check_alive(self) -> None:
        if self._hub.failed:
            raise web.HTTPServiceUnavailable(
                text="the live view has failed, trading goes on: the log says why"
            )


async def _send(socket: web.WebSocketResponse, browser: Browser, request: web.Request) -> None:
    with contextlib.suppress(ConnectionError):
        while (message := await browser.next_message()) is not None:
            try:
                async with asyncio.timeout(_SEND_S):
                    await socket.send_str(message)
            except TimeoutError:  # it takes nothing, and would keep its place for ever
                if request.transport is not None:
                    request.transport.abort()
                return
        await socket.close(code=WSCloseCode.GOING_AWAY)
