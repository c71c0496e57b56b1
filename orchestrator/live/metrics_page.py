"""The page that Prometheus reads."""

from typing import Self

from aiohttp import web

from orchestrator.events import EventBus
from orchestrator.live.door import Bounds, Door
from orchestrator.metrics import MetricsText
from tradewind.errors import SettingsError
from tradewind.ports import why_not

__all__ = ["MetricsPage", "metrics_response"]


def metrics_response(request: web.Request, text: MetricsText) -> web.Response:
    """The metrics, as an answer."""
    body, content_type = text.page(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


class MetricsPage:
    """Serves the metrics alone, as a context.

    Args:
        listen: `HOST:PORT`.
        bus: What the orchestrator says.

    Attributes:
        address: `HOST:PORT` by which it is reached from this machine; set inside the context.
    """

    def __init__(self, listen: str, bus: EventBus) -> None:
        self._listen = listen
        self._text = MetricsText(bus)
        self._door = Door(Bounds())
        self.address = ""

    async def __aenter__(self) -> Self:
        """Starts to listen.

        Raises:
            SettingsError: The address cannot be listened on.
        """
        application = web.Application(middlewares=[self._door.middleware()])
        application.router.add_get("/metrics", self._show)
        try:
            await self._door.open(application, self._listen)
        except OSError as problem:
            why = why_not(self._listen, problem)
            raise SettingsError(f"cannot serve metrics on {self._listen}: {why}") from None
        self.address = self._door.address
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._door.close()

    async def _show(self, request: web.Request) -> web.Response:
        return metrics_response(request, self._text)
