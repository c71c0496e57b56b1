"""Bundles are verified, loaded and proved in a process of their own, which hands over arrays."""

from inference_service.loading.loader import BundleLoader
from inference_service.loading.process import LoaderProcess
from inference_service.loading.settings import LoaderSettings

__all__ = ["BundleLoader", "LoaderProcess", "LoaderSettings"]
