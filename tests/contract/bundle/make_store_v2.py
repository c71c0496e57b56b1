"""Makes store_v2: the bundles of store_v1, their networks declared.

    python -m tests.contract.bundle.make_store_v2 FOLDER

Run once, as make_store.py was; the result is committed beside this file and is never made again.
"""

import sys
from dataclasses import fields
from pathlib import Path

from tests.declaring import declare
from tradewind.bundle import BundleDraft, BundleStore, read_bundle

FOLDER = Path(__file__).parent
VERSION = "2026-11-22.1"


def main() -> None:
    store = BundleStore(Path(sys.argv[1]))
    for policy in BundleStore(FOLDER / "store_v1").policies():
        bundle = read_bundle(FOLDER / "store_v1" / policy / VERSION)
        metadata = bundle.metadata
        kept = {each.name for each in fields(BundleDraft)} & set(type(metadata).model_fields)
        parts = {name: getattr(metadata, name) for name in kept}
        draft = BundleDraft(policy_pt=bundle.policy_pt, golden=bundle.golden, **parts)
        print(store.publish(declare(draft), created_at=metadata.created_at).path)


if __name__ == "__main__":
    main()
