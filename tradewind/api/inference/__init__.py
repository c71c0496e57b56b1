"""Wire contract of the inference service."""
