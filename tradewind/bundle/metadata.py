"""metadata.json: everything a bundle says about its policy."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from tradewind.bundle.faults import BundleFault
from tradewind.bundle.graph import Graph
from tradewind.bundle.names import (
    GOLDEN_FILE,
    METADATA_FILE,
    POLICY_FILE,
    POLICY_NAME_PATTERN,
    VERSION_PATTERN,
    WEIGHTS_FILE,
)
from tradewind.bundle.spaces import ActionSpace, BoxSpace, DiscreteSpace
from tradewind.bundle.strict_json import refuse_constant, unique_keys
from tradewind.constants import POLICY_BUNDLE_VERSION
from tradewind.errors import BundleFormatError, SettingsError
from tradewind.identity import RecordedParts
from tradewind.settings import Settings, parse_settings
from tradewind.showing import evaluation_table, html_of

__all__ = [
    "BundleMetadata",
    "Distribution",
    "FeatureRecord",
    "RiskRecord",
    "SloRecord",
    "TermsRecord",
    "TrainingRecord",
    "network_digest",
]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def network_digest(files: Mapping[str, str], graph: Graph | None) -> str:
    """SHA-256 of what serves, in hexadecimal digits: of two networks it is never the same.

    Of a declared network that of `{"graph": …, "weights": …}`, as JSON with sorted keys and without
    spaces, in which `weights` is the SHA-256 of policy.safetensors; without a graph, that of
    policy.pt.

    Args:
        files: SHA-256 by name.
        graph: The declared network; None where policy.pt serves.
    """
    if graph is None:
        return files[POLICY_FILE]
    said = {"graph": graph.model_dump(mode="json"), "weights": files[WEIGHTS_FILE]}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class FeatureRecord(Settings):
    """How the observation is built: the feature pipeline's specification and its digest."""

    spec: dict[str, JsonValue]
    """The specification."""

    digest: Sha256
    """Its SHA-256."""

    parts: RecordedParts | None = None
    """What that is taken over (`tradewind.identity`), with the version of each formula; None in
    bundles of release 0.1, whose formulas all have version 1."""

    symbols: tuple[str, ...] = ()
    """Several symbols that one observation is of, in order; none for one of any name."""

    market: str | None = Field(default=None, min_length=1, max_length=128)
    """Name of the market whose bars it was trained on (`tradewind.market.market_named`); None in
    bundles of releases that did not record it."""


class RiskRecord(Settings):
    """The risk policy that shaped the reward."""

    policy_digest: Sha256
    """Its digest."""

    parts: RecordedParts | None = None
    """What that is taken over; None in bundles of release 0.1."""

    versions: dict[str, PositiveInt] = Field(default_factory=dict)
    """Version of each calculator that was on; empty in bundles of release 0.1."""

    limits: dict[str, float]
    """Its limits, by metric."""

    penalty_weight: NonNegativeFloat
    """Subtracted from each reward: this times the penalty."""

    early_stop_threshold: float | None = None
    """Mean risk score above which training ends; None for never."""


class TermsRecord(Settings):
    """The identity of the trading terms, which the environment in the configuration spells out."""

    digest: Sha256
    """Their digest."""

    parts: RecordedParts
    """What that is taken over."""


class TrainingRecord(Settings):
    """Where the network comes from."""

    timesteps: NonNegativeInt
    """Environment steps in all."""

    seed: int | None = None
    """Seed of the training, None when it was not fixed."""

    data_digest: Sha256 | None = None
    """SHA-256 of the bars, None when the environment is not made of bars."""

    libraries: dict[str, str] = Field(default_factory=dict)
    """Version of each library that took part."""

    git_revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40,64}(\+dirty)?$")
    """Commit of the training code, with "+dirty" when files of it were changed; None when it did
    not run from a checkout."""

    device: str | None = Field(default=None, pattern=r"^[a-z]+(:[0-9]+)?$")
    """What the network learnt on, such as "cpu" or "cuda", whatever the configuration asked for;
    None in bundles of releases that did not record it."""

    parent_version: str | None = Field(default=None, pattern=VERSION_PATTERN)
    """The version the training went on from."""

    config: dict[str, JsonValue] = Field(default_factory=dict)
    """The configuration as given."""

    request_id: str | None = Field(default=None, min_length=1, max_length=128)
    """The request that started the training; None when none is known."""


class SloRecord(Settings):
    """Latency of one model compute as measured at export, in microseconds."""

    where: str
    """Machine and library versions of the measurement."""

    p50_us: NonNegativeFloat
    """Median."""

    p99_us: NonNegativeFloat
    """99th percentile."""

    p999_us: NonNegativeFloat
    """99.9th percentile."""

    trials: PositiveInt
    """Calls measured."""


class Distribution(Settings):
    """What the network's `distribution(obs[N, *shape])` gives, always float32."""

    kind: Literal[
        "q_values", "categorical_logits", "diag_gaussian", "squashed_gaussian", "deterministic"
    ]
    """`q_values` and `categorical_logits`: [N, n]. `diag_gaussian` and `squashed_gaussian`: [N, 2,
    A], mean and log of the standard deviation before clipping or tanh, A the number of elements of
    one action. `deterministic`: [N, A], the action itself, so that stochastic use gives the
    deterministic action."""

    exploration_rate: float | None = Field(default=None, ge=0.0, le=1.0)
    """Probability of a uniformly random action; for `q_values` alone."""

    @property
    def discrete(self) -> bool:
        """The actions are integers."""
        return self.kind in ("q_values", "categorical_logits")

    @model_validator(mode="after")
    def _check_exploration_rate(self) -> Self:
        if (self.kind == "q_values") != (self.exploration_rate is not None):
            raise ValueError("exploration_rate belongs to q_values, and to nothing else")
        return self


class BundleMetadata(Settings):
    """The contents of metadata.json."""

    format_version: Literal[1, 2] = POLICY_BUNDLE_VERSION
    """Version of this format. In a bundle of version 1, policy.pt serves; of version 2, the graph
    and policy.safetensors, and policy.pt is a copy for others."""

    name: str = Field(pattern=POLICY_NAME_PATTERN)
    """Name of the policy."""

    version: str = Field(pattern=VERSION_PATTERN)
    """CalVer day and serial."""

    created_at: AwareDatetime
    """Time of publishing."""

    algo: str = Field(min_length=1, max_length=64)
    """Training library and algorithm, such as "SB3-DQN"."""

    obs_space: BoxSpace
    """One observation."""

    action_space: ActionSpace
    """One action."""

    distribution: Distribution
    """What stochastic actions are sampled from."""

    sha256: Sha256
    """SHA-256 of what serves: of policy.pt in version 1, of graph and weights in version 2 (see
    `network_digest`)."""

    files: dict[str, Sha256]
    """SHA-256 of every file but metadata.json and its signature."""

    features: FeatureRecord | None
    """None when the environment builds its observations without our features."""

    risk: RiskRecord | None
    """None when the policy was trained without risk."""

    terms: TermsRecord | None = None
    """None when the environment has no terms of ours, and in bundles of release 0.1."""

    training: TrainingRecord
    """Where the network comes from."""

    evaluation: dict[str, float]
    """Figures on held-out bars, such as return and risk."""

    slo: SloRecord
    """Latency measured at export."""

    graph: Graph | None = None
    """The network that serves; None in a bundle of version 1."""

    def html(self, **facts: str) -> str:
        """What a notebook shows of the bundle, after more facts by name."""
        about = {
            **facts,
            "algorithm": f"{self.algo}, {self.training.timesteps:,} steps, "
            f"seed {self.training.seed}",
            "created": self.created_at.isoformat(timespec="seconds"),
            "observations": str(self.obs_space),
            "actions": str(self.action_space),
            "risk policy": "" if self.risk is None else self.risk.policy_digest,
            "network": f"sha256 {self.sha256}",
        }
        tables = [evaluation_table(self.evaluation)] if self.evaluation else []
        return html_of(f"{self.name} {self.version}", about, *tables)

    def distribution_shape(self, count: int) -> tuple[int, ...]:
        """Shape of `distribution(obs)` for `count` observations."""
        if isinstance(self.action_space, DiscreteSpace):
            return (count, self.action_space.n)
        if self.distribution.kind == "deterministic":
            return (count, self.action_space.size)
        return (count, 2, self.action_space.size)

    def action_shape(self, count: int) -> tuple[int, ...]:
        """Shape of `forward(obs)` for `count` observations."""
        if isinstance(self.action_space, DiscreteSpace):
            return (count,)
        return (count, *self.action_space.shape)

    def to_json(self) -> bytes:
        """The file's bytes."""
        # A release that knows version 1 alone refuses a key that it does not know.
        values = self.model_dump(mode="json", exclude={"graph"} if self.graph is None else None)
        return (json.dumps(values, indent=2, allow_nan=False) + "\n").encode()

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """Validates the values of all keys.

        Raises:
            BundleFormatError: A key is unknown, missing or contradicts another one.
        """
        try:
            return parse_settings(values, cls, source=METADATA_FILE)
        except SettingsError as problem:
            raise BundleFormatError(str(problem), reason=BundleFault.METADATA_INVALID) from None

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Reads the file's bytes.

        Raises:
            BundleFormatError: The bytes are truncated or not JSON, the format version is unknown,
                or a key is unknown, missing, repeated or contradicts another one.
        """
        try:
            values = json.loads(data, parse_constant=refuse_constant, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError) as problem:
            raise BundleFormatError(
                f"{METADATA_FILE} is not complete, valid JSON: {problem}",
                reason=BundleFault.METADATA_INVALID,
            ) from None
        if not isinstance(values, dict):
            raise BundleFormatError(
                f"{METADATA_FILE} must hold a JSON object, not a {type(values).__name__}",
                reason=BundleFault.METADATA_INVALID,
            )
        found = values.get("format_version")
        if type(found) is not int or not 1 <= found <= POLICY_BUNDLE_VERSION:
            raise BundleFormatError(
                f"{METADATA_FILE} has format_version {found!r}; "
                f"this release reads 1 to {POLICY_BUNDLE_VERSION}",
                reason=BundleFault.FORMAT_VERSION_UNKNOWN,
            )
        return cls.build(values)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        declared = self.format_version > 1
        for required in (POLICY_FILE, GOLDEN_FILE, *([WEIGHTS_FILE] if declared else [])):
            if required not in self.files:
                raise ValueError(f"files must name {required}")
        if declared != (self.graph is not None):
            raise ValueError("a graph belongs to format_version 2, and to nothing else")
        if self.distribution.discrete != isinstance(self.action_space, DiscreteSpace):
            raise ValueError(
                f"distribution {self.distribution.kind} does not fit "
                f"a {self.action_space.kind} action space"
            )
        if self.distribution.kind == "squashed_gaussian" and isinstance(
            self.action_space, BoxSpace
        ):
            bounds = (self.action_space.low, self.action_space.high)
            if any(b is None or (isinstance(b, tuple) and None in b) for b in bounds):
                raise ValueError("squashed_gaussian needs an action space bounded on both sides")
        if self.graph is not None:
            self.graph.check(
                self.obs_space.shape,
                self.action_shape(1)[1:],
                self.action_space.n if isinstance(self.action_space, DiscreteSpace) else None,
                self.distribution_shape(1)[1:],
            )
        if network_digest(self.files, self.graph) != self.sha256:
            of = POLICY_FILE if self.graph is None else f"graph and {WEIGHTS_FILE}"
            raise ValueError(f"sha256 is not the digest of {of}")
        return self
