"""The live view: what the orchestrator does, in a browser.

The server is imported when it is first asked for: the settings of the orchestrator need only those
of the view.
"""

from typing import TYPE_CHECKING

from orchestrator.live.settings import LiveSettings
from tradewind.lazy import lazy_names

if TYPE_CHECKING:
    from orchestrator.live.view import LiveView

__all__ = ["LiveSettings", "LiveView"]

__getattr__ = lazy_names(__name__, {"LiveView": "view"})
