"""The same policies over the Open Inference Protocol, for clients such as tritonclient."""

from inference_service.open_inference.servicer import OpenInferenceServicer

__all__ = ["OpenInferenceServicer"]
