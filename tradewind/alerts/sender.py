"""Sends alerts from threads of their own: who raises one never waits for a network."""

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from tradewind.alerts.settings import AlertKind, AlertSettings
from tradewind.errors import FieldViolation, SettingsError

__all__ = ["Alerts", "alerts_of"]

_LOG = logging.getLogger(__name__)

_WAITING: Final = 100
_PAUSES_S: Final = (1.0, 5.0, 25.0)
_CLOSE_S: Final = 10.0
_MISSING: Final = "apprise is not installed: pip install 'tradewind[alerts]'"


@dataclass(frozen=True, slots=True)
class _Message:
    title: str
    text: str
    is_trouble: bool


@dataclass(slots=True)
class _Told:
    """When something was told, and how often it came since."""

    at: float
    more: int = 0


class _Address:
    """One receiver with its queue and its thread: one that hangs holds up no other.

    Args:
        name: What the log calls it: never the address, which holds secrets.
        notify: Sends; False or an exception for a failure.
    """

    def __init__(self, name: str, notify: Callable[..., Any]) -> None:
        self._name = name
        self._notify = notify
        self._waiting: collections.deque[_Message] = collections.deque()  # the first is under way
        self._changed = threading.Condition()
        self._hurries = threading.Event()
        self._is_closed = False
        self.lost_count = 0
        threading.Thread(target=self._run, name=f"alerts-{name}", daemon=True).start()

    def put(self, message: _Message) -> None:
        """Has a message sent; one that finds the queue full is lost, and counted."""
        with self._changed:
            if len(self._waiting) < _WAITING and not self._is_closed:
                self._waiting.append(message)
                self._changed.notify_all()
                return
        self._lose(message)

    def hurry(self) -> None:
        """Tries what fails without a pause from now on: the process ends."""
        self._hurries.set()

    def close(self, until: float) -> None:
        """Gives what waits a chance to be sent until then, by the monotonic clock.

        What was not delivered by then is lost, which is said of each message.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, max(until - time.monotonic(), 0.0))
            left = list(self._waiting)
            self._waiting.clear()
            self._is_closed = True
            self._changed.notify_all()
        for message in left:
            self._lose(message)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                message = self._waiting[0]
            is_delivered = self._deliver(message)
            with self._changed:
                if not self._waiting:
                    return  # it was given up meanwhile
                self._waiting.popleft()
                self._changed.notify_all()
            if not is_delivered:
                self._lose(message)

    def _deliver(self, message: _Message) -> bool:
        kind = "failure" if message.is_trouble else "success"
        for pause_s in (*_PAUSES_S, 0.0):
            try:
                # Text, so that a name in it is no markup of a mail or a chat.
                if self._notify(
                    title=message.title, body=message.text, notify_type=kind, body_format="text"
                ):
                    return True
            except Exception as problem:  # of a plugin; it must not end the thread
                _LOG.debug("alert by %s: %s", self._name, type(problem).__name__)
            self._hurries.wait(pause_s)
        return False

    def _lose(self, message: _Message) -> None:
        self.lost_count += 1
        _LOG.error("alert not delivered by %s: %s", self._name, message.title)


class Alerts:
    """Tells people, as a context: leaving it gives what waits a few seconds to be sent.

    Args:
        settings: Whom to tell, and of what.
        source: Who tells, e.g. `orchestrator main`.
        clock: Seconds that only grow.

    Raises:
        SettingsError: Apprise is not installed, or does not know an address.
    """

    def __init__(
        self, settings: AlertSettings, source: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[tuple[AlertKind, str, str], _Told] = {}
        self._going_on: set[tuple[AlertKind, str]] = set()
        senders = [_opened(url, number) for number, url in enumerate(settings.urls)]
        self._addresses = [
            _Address(f"{scheme} (urls[{number}])", notify)
            for number, (scheme, notify) in enumerate(senders)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Waits for what is under way, for a short while."""
        until = time.monotonic() + _CLOSE_S
        for address in self._addresses:
            address.hurry()
        for address in self._addresses:
            address.close(until)

    @property
    def after_s(self) -> float:
        """See `AlertSettings.after_s`."""
        return self._settings.after_s

    @property
    def lost_count(self) -> int:
        """Messages that could not be delivered."""
        return sum(address.lost_count for address in self._addresses)

    def trouble(self, kind: AlertKind, subject: str, text: str, occurrence: str = "") -> None:
        """Tells of trouble, unless the same was told a short while ago.

        Args:
            kind: What it is.
            subject: What it concerns.
            text: What happened, and what to do.
            occurrence: Which of several it is, where each must be told however soon it comes, such
                as another halt. With kind and subject, it says what "the same" is.
        """
        key = (kind, subject, occurrence)
        with self._lock:
            now = self._clock()
            told = self._told.get(key)
            if told is not None and now - told.at < self._settings.quiet_s:
                told.more += 1
                return
            self._forget_before(now - self._settings.quiet_s)
            self._told[key] = _Told(now)
            self._going_on.add((kind, subject))
        if told is not None and told.more:
            text += f"\n(and {told.more} more times since it was told last)"
        self._tell(kind, f"{kind.replace('_', ' ')}: {subject}", text, is_trouble=True)

    def over(self, kind: AlertKind, subject: str, text: str) -> None:
        """Tells that a trouble is over; nothing where it was not told.

        One that comes and goes is as quiet as one that stays.
        """
        with self._lock:
            was_told = (kind, subject) in self._going_on
            self._going_on.discard((kind, subject))
        if was_told:
            title = f"over: {kind.replace('_', ' ')}: {subject}"
            self._tell(kind, title, text, is_trouble=False)

    def _forget_before(self, at: float) -> None:
        for key in [key for key, told in self._told.items() if told.at < at and not told.more]:
            del self._told[key]

    def _tell(self, kind: AlertKind, title: str, text: str, *, is_trouble: bool) -> None:
        if kind not in self._settings.kinds:
            return
        message = _Message(f"[{self._source}] {title}", text, is_trouble)
        for address in self._addresses:
            address.put(message)


@contextlib.contextmanager
def alerts_of(settings: AlertSettings | None, source: str) -> Iterator[Alerts | None]:
    """Alerts for the time of a block; None where nobody is to be told."""
    if settings is None:
        yield None
        return
    with Alerts(settings, source) as alerts:
        yield alerts


def _opened(url: str, number: int) -> tuple[str, Callable[..., Any]]:
    try:
        import apprise
    except ModuleNotFoundError:
        raise _refused(number, _MISSING) from None
    # Both write addresses, and these hold secrets: Apprise at every level, urllib3 at DEBUG.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    receiver = apprise.Apprise()
    if not receiver.add(url):
        problem = "no address that Apprise knows, such as json://HOST:PORT/PATH or mailto://…"
        raise _refused(number, problem)
    return url.partition(":")[0], receiver.notify


def _refused(number: int, problem: str) -> SettingsError:
    return SettingsError("alerts are refused", [FieldViolation(f"alerts.urls[{number}]", problem)])
