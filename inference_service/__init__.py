"""The inference service: serves the policies of a bundle store over gRPC, and embedded."""
