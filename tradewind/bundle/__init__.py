"""Policy bundles: metadata, publishing, verified reading. Needs numpy and pydantic, not torch."""

from tradewind.bundle.draft import BundleDraft
from tradewind.bundle.faults import BundleFault
from tradewind.bundle.freshness import (
    FRESHNESS_FILE,
    Freshness,
    read_freshness,
    write_freshness,
)
from tradewind.bundle.golden import GoldenSet
from tradewind.bundle.graph import Graph
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
from tradewind.bundle.publishing import publish_bundle
from tradewind.bundle.reader import Bundle, BundleLimits, read_bundle
from tradewind.bundle.signing import BundleSignature, SigningKey, TrustedKeys
from tradewind.bundle.spaces import ActionSpace, BoxSpace, DiscreteSpace
from tradewind.bundle.store import BundleStore, PublishedBundle
from tradewind.bundle.weights import Weights, read_weights, write_weights

__all__ = [
    "FRESHNESS_FILE",
    "SERVED_LABEL",
    "ActionSpace",
    "BoxSpace",
    "Bundle",
    "BundleDraft",
    "BundleFault",
    "BundleLimits",
    "BundleMetadata",
    "BundleSignature",
    "BundleStore",
    "BundleVersion",
    "DiscreteSpace",
    "Distribution",
    "FeatureRecord",
    "Freshness",
    "GoldenSet",
    "Graph",
    "PublishedBundle",
    "RiskRecord",
    "SigningKey",
    "SloRecord",
    "TermsRecord",
    "TrainingRecord",
    "TrustedKeys",
    "Weights",
    "check_labels",
    "check_policy_name",
    "publish_bundle",
    "read_bundle",
    "read_freshness",
    "read_weights",
    "write_freshness",
    "write_weights",
]
