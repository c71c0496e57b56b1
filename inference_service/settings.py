"""What an operator can set about the inference service."""

from pathlib import Path

from pydantic import Field, field_validator

from inference_service.loading import LoaderSettings
from tradewind.bundle import BundleLimits, BundleVersion, check_policy_name
from tradewind.constants import MAX_PREDICTION_LATENCY_US
from tradewind.errors import InvalidInputError
from tradewind.rpc import ServerSettings
from tradewind.settings import Settings

__all__ = ["InferenceSettings"]


class InferenceSettings(Settings):
    """Settings of the inference service.

    Attributes:
        server: The gRPC server.
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
    store: Path = Path("bundles")
    poll_s: float = Field(default=0.25, gt=0.0, le=60.0)
    pinned: dict[str, str] = Field(default_factory=dict)
    kept_versions: int = Field(default=2, ge=1, le=64)
    slo_us: float = Field(default=MAX_PREDICTION_LATENCY_US, gt=0.0)
    limits: BundleLimits = BundleLimits()
    loader: LoaderSettings = LoaderSettings()

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
