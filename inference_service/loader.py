"""From a folder of the store to a version that can answer."""

import time
from pathlib import Path

from inference_service.registry import LoadedVersion
from tradewind.bundle import BundleLimits
from tradewind.policy import TorchScriptPolicy

__all__ = ["BundleLoader"]


class BundleLoader:
    """Verifies digests, loads, warms up and checks the golden answers, in this order.

    Args:
        limits: Largest files accepted.
        slo_us: Objective of one model compute, in microseconds.
    """

    def __init__(self, limits: BundleLimits, slo_us: float) -> None:
        self._limits = limits
        self._slo_ns = round(slo_us * 1000.0)

    def __call__(self, folder: Path) -> LoadedVersion:
        """Loads the bundle of a folder.

        Raises:
            BundleError: The bundle must not serve.
            VersionNotFoundError: The folder is gone.
            StorageError: The file system failed.
        """
        policy = TorchScriptPolicy.load_bundle(folder, self._limits)
        return LoadedVersion(policy, self._slo_ns, time.time())
