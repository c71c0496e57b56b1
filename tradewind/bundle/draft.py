"""What a trainer hands over to be published."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tradewind.bundle.golden import GoldenSet
from tradewind.bundle.graph import Graph
from tradewind.bundle.metadata import (
    BundleMetadata,
    Distribution,
    FeatureRecord,
    RiskRecord,
    SloRecord,
    TermsRecord,
    TrainingRecord,
    network_digest,
)
from tradewind.bundle.names import (
    GOLDEN_FILE,
    POLICY_FILE,
    WEIGHTS_FILE,
    check_extra_file_name,
    check_policy_name,
)
from tradewind.bundle.spaces import ActionSpace, BoxSpace
from tradewind.bundle.weights import Weights, read_weights, write_weights

__all__ = ["BundleDraft"]


@dataclass(frozen=True, eq=False, kw_only=True)
class BundleDraft:
    """Everything of a bundle but its version, which the store gives.

    Attributes:
        name: Name of the policy.
        algo: Training library and algorithm, such as "SB3-DQN".
        policy_pt: The frozen, scripted network, as `torch.jit.save` wrote it.
        golden: Recorded observations and answers.
        obs_space: One observation.
        action_space: One action.
        distribution: What stochastic actions are sampled from.
        training: Where the network comes from.
        slo: Latency measured at export.
        evaluation: Figures on held-out bars.
        features: How the observation is built.
        risk: The risk policy that shaped the reward.
        terms: The identity of what its actions mean and what trading costs.
        extra_files: More files by name, such as a report; their digests go into the metadata.
        graph: The network that serves. Without, the bundle is of format 1: policy_pt serves.
        weights: Its tensors.
    """

    name: str
    algo: str
    policy_pt: bytes
    golden: GoldenSet
    obs_space: BoxSpace
    action_space: ActionSpace
    distribution: Distribution
    training: TrainingRecord
    slo: SloRecord
    evaluation: Mapping[str, float] = field(default_factory=dict)
    features: FeatureRecord | None = None
    risk: RiskRecord | None = None
    terms: TermsRecord | None = None
    extra_files: Mapping[str, bytes] = field(default_factory=dict)
    graph: Graph | None = None
    weights: Weights = field(default_factory=dict)

    def contents(self) -> dict[str, bytes]:
        """Every file but metadata.json.

        Raises:
            InvalidInputError: The name of the policy or of an extra file is not allowed.
        """
        check_policy_name(self.name)
        for name in self.extra_files:
            check_extra_file_name(name)
        return {
            POLICY_FILE: self.policy_pt,
            **({} if self.graph is None else {WEIGHTS_FILE: write_weights(self.weights)}),
            GOLDEN_FILE: self.golden.to_npz(),
            **self.extra_files,
        }

    def metadata(
        self, version: str, created_at: datetime, contents: Mapping[str, bytes]
    ) -> BundleMetadata:
        """The metadata of this draft once published.

        Args:
            version: Version under which it is published.
            created_at: Time of publishing.
            contents: What `contents` gave.

        Raises:
            BundleFormatError: The parts contradict each other, or the golden answers do not fit
                the spaces.
        """
        files = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        metadata = BundleMetadata.build(
            {
                "format_version": 1 if self.graph is None else 2,
                "graph": self.graph,
                "name": self.name,
                "version": version,
                "created_at": created_at,
                "algo": self.algo,
                "obs_space": self.obs_space,
                "action_space": self.action_space,
                "distribution": self.distribution,
                "sha256": network_digest(files, self.graph),
                "files": files,
                "features": self.features,
                "risk": self.risk,
                "terms": self.terms,
                "training": self.training,
                "evaluation": dict(self.evaluation),
                "slo": self.slo,
            }
        )
        self.golden.check(metadata)
        if metadata.graph is not None:
            read_weights(contents[WEIGHTS_FILE], metadata.graph.tensors(metadata.obs_space.shape))
        return metadata
