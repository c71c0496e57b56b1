"""The gRPC service: settings, admission, servicer."""
