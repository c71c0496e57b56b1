"""The routing file as it stands, or the last one that was good."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from inference_service.routing.file import (
    MAX_ROUTING_BYTES,
    RoutingFile,
    Target,
    parse_routing,
)
from inference_service.routing.rollbacks import RollbackStore
from tradewind.bundle import SERVED_LABEL, BundleStore
from tradewind.errors import SettingsError, StorageError, TradewindError
from tradewind.files import read_file

__all__ = ["RoutingSource"]

_LOG = logging.getLogger(__name__)


class RoutingSource:
    """Reads the routing file; one that is not good changes nothing but `refusal`.

    Args:
        path: The routing file.
        is_required: Whether it has to be there.
        store: The bundle store, which has to have what the file names.
        labels_of: Gives the labels of a policy that the settings add to those of the store.
        kept: Where the file that was accepted last is kept for the next start.

    Attributes:
        file: The last good one; None where nothing is routed.
        refusal: Why the file as it stands is not good; empty when it is.
        refusal_count: How often a file was refused.
        has_good: Whether it is known how to route; else no call may be routed.
    """

    def __init__(
        self,
        path: Path,
        store: BundleStore,
        labels_of: Callable[[str], Mapping[str, str]],
        kept: RollbackStore,
        *,
        is_required: bool,
    ) -> None:
        self._path = path
        self._is_required = is_required
        self._store = store
        self._labels_of = labels_of
        self._kept = kept
        self._parsed: RoutingFile | None = None
        self.file: RoutingFile | None = None
        self.refusal = ""
        self.refusal_count = 0
        self.has_good = False

    def read(self) -> None:
        """Looks at the file."""
        try:
            file = self._read_good()
        except TradewindError as problem:
            self._refuse(str(problem))
            return
        if self.refusal:
            _LOG.info("the routing file is good again")
        self.refusal, self.has_good = "", True
        if file is not None and file is not self.file:
            self.file = file

    def _read_good(self) -> RoutingFile | None:
        """The file as it stands; None where nothing is routed and nothing ever was."""
        try:
            text = read_file(self._path, MAX_ROUTING_BYTES, within=self._path.parent)
        except FileNotFoundError:
            # A volume that is not mounted looks like this too, so it does not end a routing.
            last = self.file or self._last_good()
            if self._is_required or (last is not None and last.settings.policies):
                raise StorageError(
                    f"{self._path} is not there; a file with `policies: {{}}` ends a routing"
                ) from None
            return None
        except OSError as problem:
            raise StorageError(f"cannot read {self._path}: {problem.strerror}") from problem
        file = self.file
        if file is None or file.text != text:
            if self._parsed is None or self._parsed.text != text:
                self._parsed = parse_routing(text, str(self._path))
            file = self._parsed
        file.check_targets(self._why_unknown)
        if file is not self.file:
            self._keep(file)
        return file

    def _keep(self, file: RoutingFile) -> None:
        try:
            if self._kept.accepted() != file.text:
                self._kept.keep_accepted(file.text)
        except StorageError as problem:
            if file.has_bounds:
                raise SettingsError(
                    f"{self._path} has bounds, for which routing_state must be writable, or a "
                    f"rollback would not outlive a restart: {problem}"
                ) from problem
            _LOG.warning("the routing in force is not kept for the next start: %s", problem)

    def _refuse(self, refusal: str) -> None:
        if not self.has_good:
            self.file = self._last_good()
            self.has_good = self.file is not None
        if refusal == self.refusal:
            return
        self.refusal = refusal
        self.refusal_count += 1
        fate = "what was in force stays"
        if not self.has_good:
            fate = "no other is known: calls that name neither version nor label are not answered"
        _LOG.error("%s; %s", refusal, fate)

    def _last_good(self) -> RoutingFile | None:
        try:
            text = self._kept.accepted()
            return None if text is None else parse_routing(text, "the routing accepted last")
        except TradewindError as problem:
            _LOG.warning("the routing accepted last is not known: %s", problem)
            return None

    def _why_unknown(self, target: Target) -> str:
        if not self._store.has_policy(target.policy):
            return f"policy {target.policy!r} is not in the store"
        if target.version and not self._store.has_version(target.policy, target.version):
            return f"version {target.version} of policy {target.policy!r} is not in the store"
        if target.label and target.label != SERVED_LABEL:
            labels = {**self._store.labels(target.policy), **self._labels_of(target.policy)}
            if target.label not in labels:
                known = ", ".join(sorted([SERVED_LABEL, *labels]))
                return f"policy {target.policy!r} has no label {target.label!r}, only {known}"
        return ""
