"""The live view: what the orchestrator does, in a browser; a process of its own serves it.

The server is imported when it is first asked for: the trading process needs none of it.
"""

from typing import TYPE_CHECKING

from tradewind.lazy import lazy_names

if TYPE_CHECKING:
    from orchestrator.live.view import LiveView

__all__ = ["LiveView"]

__getattr__ = lazy_names(__name__, {"LiveView": "view"})
