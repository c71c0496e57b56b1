"""A gRPC server: bootstrap, limits on callers, health, drain, metrics."""
