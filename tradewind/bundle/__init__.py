"""Policy bundles: metadata, publishing, verified reading. Needs numpy and pydantic, not torch."""

from tradewind.bundle.draft import BundleDraft
from tradewind.bundle.faults import BundleFault
from tradewind.bundle.golden import GoldenSet
from tradewind.bundle.labels import check_labels
from tradewind.bundle.metadata import (
    BundleMetadata,
    Distribution,
    FeatureRecord,
    RiskRecord,
    SloRecord,
    TermsRecord,
    TrainingRecord,
)
from tradewind.bundle.names import SERVED_LABEL, BundleVersion, check_policy_name
from tradewind.bundle.reader import Bundle, BundleLimits, read_bundle
from tradewind.bundle.signing import SigningKey, TrustedKeys
from tradewind.bundle.spaces import ActionSpace, BoxSpace, DiscreteSpace
from tradewind.bundle.store import BundleStore, PublishedBundle

__all__ = [
    "SERVED_LABEL",
    "ActionSpace",
    "BoxSpace",
    "Bundle",
    "BundleDraft",
    "BundleFault",
    "BundleLimits",
    "BundleMetadata",
    "BundleStore",
    "BundleVersion",
    "DiscreteSpace",
    "Distribution",
    "FeatureRecord",
    "GoldenSet",
    "PublishedBundle",
    "RiskRecord",
    "SigningKey",
    "SloRecord",
    "TermsRecord",
    "TrainingRecord",
    "TrustedKeys",
    "check_labels",
    "check_policy_name",
    "read_bundle",
]
