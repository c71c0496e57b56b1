"""Messages to people: what must not wait until somebody looks."""

from tradewind.alerts.sender import Alerts, alerts_of
from tradewind.alerts.settings import AlertKind, AlertSettings

__all__ = ["AlertKind", "AlertSettings", "Alerts", "alerts_of"]
