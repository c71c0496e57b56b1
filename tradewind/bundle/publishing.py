"""Publishing as the trainer does it: signed, and named in the store's statement of freshness."""

import logging
from pathlib import Path

from tradewind.bundle.draft import BundleDraft
from tradewind.bundle.freshness import note_published
from tradewind.bundle.signing import SigningKey
from tradewind.bundle.store import BundleStore, PublishedBundle
from tradewind.errors import TradewindError

__all__ = ["publish_bundle"]

_LOG = logging.getLogger(__name__)


def publish_bundle(
    store: Path | str, draft: BundleDraft, signing_key: SigningKey | None = None
) -> PublishedBundle:
    """Publishes a draft, and names it the newest where the store has a `freshness.json`.

    That this could not be done is logged: the bundle is published all the same, and whoever keeps
    the statement with another key names it with `tradewind bundle freshness`.

    Args:
        store: Folder of the store.
        draft: What to publish.
        signing_key: Signs the bundle and the statement; without, neither.

    Raises:
        InvalidInputError: A name is not allowed.
        BundleFormatError: The parts contradict each other.
        StorageError: The store cannot be written.
    """
    published = BundleStore(store).publish(draft, signing_key=signing_key)
    if signing_key is not None:
        try:
            note_published(Path(store), signing_key)
        except TradewindError as problem:
            _LOG.warning(
                "%s is published, but not named as the newest of its policy: %s",
                published.path,
                problem,
            )
    return published
