"""What an operator can set about the inference service."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from inference_service.loading.settings import LoaderSettings
from tradewind.bundle import BundleLimits, BundleVersion, check_policy_name
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.errors import InvalidInputError
from tradewind.rpc import ServerSettings
from tradewind.settings import Settings

__all__ = ["InferenceSettings"]


class InferenceSettings(Settings):
    """Settings of the inference service.

    Attributes:
        server: The gRPC server; with several workers, the threads and calls are those of each.
        workers: Processes that share the port, each with everything in it. A unix: address then
            needs `{worker}` in its path, which stands for 0, 1, ….
        pin_cpus: Keeps each worker on a core of its own.
        store: The bundle store; it may appear, vanish and come back while the service runs.
        poll_s: Seconds between two looks at the store.
        pinned: Version to serve by policy; a policy that is not named serves its latest good one.
        kept_versions: Versions of a policy that stay loaded, the served one included; the others
            answer calls that ask for them.
        slo_us: Objective of one model compute, in microseconds.
        limits: Largest files accepted in a bundle.
        loader: What loading one bundle may take.
    """

    server: ServerSettings = ServerSettings(
        listen="127.0.0.1:50052", metrics_listen="127.0.0.1:9102"
    )
    workers: int = Field(default=1, ge=1, le=256)
    pin_cpus: bool = False
    store: Path = Path("bundles")
    poll_s: float = Field(default=0.25, gt=0.0, le=60.0)
    pinned: dict[str, str] = Field(default_factory=dict)
    kept_versions: int = Field(default=2, ge=1, le=64)
    slo_us: float = Field(default=MAX_PREDICTION_LATENCY_US, gt=0.0)
    limits: BundleLimits = BundleLimits()
    loader: LoaderSettings = LoaderSettings()

    @model_validator(mode="after")
    def _check_unix_addresses(self) -> Self:
        for address in self.server.listen:
            if address.startswith("unix:") and ("{worker}" in address) != (self.workers > 1):
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
