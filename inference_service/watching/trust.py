"""What is believed of what lies in the store: the keys, and the store's statement of freshness."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from inference_service.registry import LoadedVersion
from tradewind.bundle import (
    FRESHNESS_FILE,
    BundleFault,
    Freshness,
    TrustedKeys,
    read_freshness,
)
from tradewind.errors import BundleError, BundleIntegrityError, StorageError
from tradewind.files import FileStamp, file_stamp

__all__ = ["StoreTrust"]

_LOG = logging.getLogger(__name__)


class StoreTrust:
    """Follows `freshness.json`, and says which versions may be loaded and which may serve.

    What was seen once is held to: a statement that vanishes, is cut off or is replaced by an older
    one changes nothing but what is said about it.

    Args:
        root: Folder of the store.
        trusted: Whose signatures are believed; None when none is looked at.
        required: Whether nothing is loaded without a current statement.
    """

    def __init__(self, root: Path, trusted: TrustedKeys | None, *, required: bool = False) -> None:
        self._root = root
        self._trusted = trusted
        self._required = required
        self._seen: Freshness | None = None
        self._read_as: FileStamp | None = None
        self._trouble = ""
        self._was_usable = not required

    def keys(self) -> TrustedKeys | None:
        """Whose signatures are believed now."""
        if self._trusted is None or self._seen is None:
            return self._trusted
        return self._trusted.revoking(self._seen.revoked_keys)

    def scan(self) -> bool:
        """Looks at the statement.

        Returns:
            Whether something is believed now that was not, or the other way round.
        """
        if self._trusted is None:
            return False
        before, trouble = self._seen, ""
        stamp = file_stamp(self._root / FRESHNESS_FILE)
        if stamp is None or stamp != self._read_as:  # to verify it takes more than a look
            self._read_as = None
            try:
                keys = self.keys() or self._trusted
                self._seen = read_freshness(self._root, keys.believed, before)
                self._read_as = stamp
            except (BundleError, StorageError) as problem:
                trouble = str(problem)
        if self._seen is not None and not trouble and not self._seen.is_current(datetime.now(UTC)):
            expired = f"{self._seen.signature.expires_at:%Y-%m-%d %H:%M} UTC"
            trouble = (
                f"{FRESHNESS_FILE} expired on {expired}; `tradewind bundle freshness` renews it"
            )
        self._say(trouble, before)
        was_usable, self._was_usable = self._was_usable, self._is_usable()
        return self._seen != before or was_usable != self._was_usable

    def check(self, policy: str, version: str) -> None:
        """Refuses a version that may not be loaded.

        Raises:
            BundleIntegrityError: It is withdrawn or too old, or nothing proves that it is not.
        """
        if not self._is_usable():
            raise BundleIntegrityError(
                f"nothing is loaded without a current {FRESHNESS_FILE} "
                f"({self._trouble or 'there is none'})",
                reason=BundleFault.FRESHNESS_UNPROVED,
            )
        if self._seen is not None:
            self._seen.check(policy, version)

    def check_newest(self, policy: str, proved: Iterable[str]) -> None:
        """Refuses to serve an older version in place of the newest one.

        Args:
            policy: Its name.
            proved: The version that is to serve, and those found to be as they were published.

        Raises:
            BundleIntegrityError: The newest version that the statement names is not among them.
        """
        newest = "" if self._seen is None else self._seen.missing_newest(policy, proved)
        if newest:
            raise BundleIntegrityError(
                f"no older version of {policy} begins to serve: {FRESHNESS_FILE} names {newest} as "
                "its newest, which is missing, not proved yet or not as it was published; withdraw "
                "it there to go back behind it",
                reason=BundleFault.ROLLED_BACK,
            )

    def objection(self, loaded: LoadedVersion) -> BundleIntegrityError | None:
        """Why a version that is loaded must answer no more; None while it may."""
        if self._seen is None:
            return None
        signature = loaded.policy.signature
        if signature is not None and signature.key_id in self._seen.revoked_keys:
            return BundleIntegrityError(
                f"{loaded.name}/{loaded.version} is signed by the key {signature.key_id}, which is "
                "revoked: sign it with another one",
                reason=BundleFault.SIGNATURE_REVOKED,
            )
        try:
            self._seen.check(loaded.name, loaded.version, loaded.policy.metadata_json)
        except BundleIntegrityError as problem:
            return problem
        return None

    def _is_usable(self) -> bool:
        return not self._required or (self._seen is not None and not self._trouble)

    def _say(self, trouble: str, before: Freshness | None) -> None:
        if trouble and trouble != self._trouble:
            effect = "nothing new is loaded" if self._required else "what it said last holds"
            _LOG.error("%s; %s", trouble, effect if self._seen or self._required else "no effect")
        self._trouble = trouble
        if self._seen is not None and self._seen != before:
            _LOG.info(
                "%s number %d by %s: %d policies, revoked keys: %s, withdrawn: %s",
                FRESHNESS_FILE,
                self._seen.serial,
                self._seen.signature.signer or self._seen.signature.key_id,
                len(self._seen.subjects),
                ", ".join(sorted(self._seen.revoked_keys)) or "none",
                ", ".join(sorted(self._seen.withdrawn)) or "none",
            )
