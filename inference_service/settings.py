"""What an operator can set about the inference service."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from inference_service.loading.settings import ExecutorSettings, LoaderSettings
from inference_service.watching.version_rule import VersionRule
from tradewind.address import UNIX, is_reached_from_afar
from tradewind.bundle import (
    BundleLimits,
    BundleVersion,
    TrustedKeys,
    check_labels,
    check_policy_name,
)
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.errors import InvalidInputError
from tradewind.rpc import ServerSettings, ServiceSettings
from tradewind.settings import Settings

__all__ = ["InferenceSettings", "PolicySettings"]


class PolicySettings(Settings):
    """What an operator can set about one policy."""

    versions: Literal["latest", "all"] = "latest"
    """`latest`: the latest good versions stay loaded, kept_versions of them; `all`: every good one
    does."""

    kept_versions: int | None = Field(default=None, ge=1, le=64)
    """Wins over that of all policies."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Version by label, such as `champion`; wins over the store's labels."""

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        try:
            return check_labels(labels)
        except InvalidInputError as problem:
            raise ValueError(str(problem)) from None


class InferenceSettings(ServiceSettings):
    """Settings of the inference service."""

    server: ServerSettings = ServerSettings(
        listen="127.0.0.1:50052", metrics_listen="127.0.0.1:9102"
    )
    """The gRPC server; with several workers, the threads and calls are those of each."""

    max_streams: int | None = Field(default=None, ge=1)
    """PredictStreams open at once in a worker; one more is refused. Each holds one of the server's
    threads, so there must be more of these; by default as server.limits says."""

    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the port, each with everything in it. A unix: address then needs
    `{worker}` in its path, which stands for 0, 1, …."""

    pin_cpus: bool = False
    """Keeps each worker on a core of its own."""

    keep_awake: bool = False
    """Keeps the cores of pinned workers from falling asleep between calls: each is fully used from
    then on. For cores that nothing else needs."""

    store: Path = Path("bundles")
    """The bundle store; it may appear, vanish and come back while the service runs."""

    poll_s: float = Field(default=0.25, gt=0.0, le=60.0)
    """Seconds between two looks at the store."""

    pinned: dict[str, str] = Field(default_factory=dict)
    """Version to serve by policy; a policy that is not named serves its latest good one. Of a
    pinned policy no other version stays loaded but those that bear a label."""

    kept_versions: int = Field(default=2, ge=1, le=64)
    """Latest good versions of a policy that stay loaded, the served one included; the others answer
    calls that ask for them."""

    policies: dict[str, PolicySettings] = Field(default_factory=dict)
    """More about single policies, by name."""

    max_loaded_mb: float = Field(default=1024.0, gt=0.0)
    """Most memory of all loaded networks and their golden answers together. Room is made by letting
    go of versions that are neither served, labelled nor routed, the oldest first."""

    routing: Path | None = None
    """The routing file, polled like the store; by default routing.yaml in the store, where it may
    be absent. One that is named here has to be there."""

    routing_state: Path | None = None
    """Folder with what was rolled back, shared by all workers and replicas, and the routing file
    that was accepted last; by default `.routing` beside the routing file."""

    shadow_queue: int = Field(default=256, ge=1, le=4096)
    """Calls that may wait for the answers of shadows, in each worker; more are dropped and
    counted."""

    shadow_answers: int = Field(default=1_000, ge=1, le=100_000)
    """Answers of each shadow that each worker keeps, the latest."""

    trusted_keys: tuple[Path, ...] = ()
    """Files with the Ed25519 public keys whose signatures are believed. With any, a bundle with
    another signature is refused."""

    require_signature: bool | None = None
    """Whether a bundle without a signature is refused, too. Left out, it is with trusted keys;
    without any, a server that other machines reach does not start, as whoever can write the store
    would choose what it serves. `false` says that this is so."""

    require_freshness: bool = False
    """Whether nothing is loaded without a current `freshness.json` in the store, signed by one of
    the trusted keys. One that is there is followed in any case."""

    slo_us: float = Field(default=MAX_PREDICTION_LATENCY_US, gt=0.0)
    """Objective of one model compute, in microseconds."""

    limits: BundleLimits = BundleLimits()
    """Largest files accepted in a bundle."""

    loader: LoaderSettings = LoaderSettings()
    """What loading one bundle may take."""

    executor: ExecutorSettings = ExecutorSettings()
    """What executing a network that only TorchScript can execute may take."""

    @property
    def stream_count(self) -> int:
        """Streams that a worker allows at once."""
        return self.max_streams or self.server.stream_count

    @property
    def routing_file(self) -> Path:
        """Where the routing file is."""
        return self.routing or self.store / "routing.yaml"

    @property
    def routing_state_folder(self) -> Path:
        """Where rollbacks are kept."""
        return self.routing_state or self.routing_file.parent / ".routing"

    @model_validator(mode="after")
    def _check_max_streams(self) -> Self:
        if self.max_streams is not None and self.max_streams >= self.server.threads:
            raise ValueError(
                f"max_streams is {self.max_streams}, which leaves no other call any of the "
                f"{self.server.threads} threads that server.threads allows"
            )
        return self

    @model_validator(mode="after")
    def _check_keep_awake(self) -> Self:
        if self.keep_awake and not self.pin_cpus:
            raise ValueError("keep_awake needs pin_cpus, which says which cores are the workers'")
        return self

    @property
    def trusted(self) -> TrustedKeys | None:
        """Whose signatures are believed; None when none is looked at.

        Raises:
            SettingsError: A key cannot be read.
        """
        if not self.trusted_keys:
            return None
        return TrustedKeys.load(self.trusted_keys, required=self.signature_required)

    @property
    def signature_required(self) -> bool:
        """Whether a bundle without a signature is refused."""
        return bool(self.trusted_keys) if self.require_signature is None else self.require_signature

    @model_validator(mode="after")
    def _check_trusted_keys(self) -> Self:
        if self.require_freshness and not self.trusted_keys:
            raise ValueError("require_freshness needs trusted_keys, which say whose it has to be")
        if self.require_signature and not self.trusted_keys:
            raise ValueError("require_signature needs trusted_keys, or no bundle would ever serve")
        exposed = [listen for listen in self.server.listen if is_reached_from_afar(listen)]
        if exposed and not self.trusted_keys and self.require_signature is None:
            raise ValueError(
                f"server.listen: {exposed[0]} is reached from other machines, and bundles that "
                "nobody has signed would be served: set trusted_keys, or require_signature: false "
                "where whoever can write the store may choose what is served"
            )
        return self

    @model_validator(mode="after")
    def _check_unix_addresses(self) -> Self:
        for address in self.server.listen:
            if address.startswith(UNIX) and ("{worker}" in address) != (self.workers > 1):
                raise ValueError(
                    f"server.listen: {address} needs {{worker}} in its path with several workers, "
                    "which cannot share a path, and only then"
                )
        return self

    @field_validator("pinned")
    @classmethod
    def _check_pinned(cls, pinned: dict[str, str]) -> dict[str, str]:
        try:
            for policy, version in pinned.items():
                check_policy_name(policy)
                BundleVersion.parse(version)
        except InvalidInputError as problem:
            raise ValueError(str(problem)) from None
        return pinned

    @field_validator("policies")
    @classmethod
    def _check_policies(cls, policies: dict[str, PolicySettings]) -> dict[str, PolicySettings]:
        try:
            for policy in policies:
                check_policy_name(policy)
        except InvalidInputError as problem:
            raise ValueError(str(problem)) from None
        return policies

    def rule_of(self, policy: str) -> VersionRule:
        """What is set about a policy's versions."""
        own = self.policies.get(policy, PolicySettings())
        return VersionRule(
            pinned=self.pinned.get(policy, ""),
            keep_all=own.versions == "all",
            kept_versions=own.kept_versions or self.kept_versions,
            labels=own.labels,
        )
