"""Generated protobuf messages and gRPC stubs; `make protos` writes them, nobody edits them."""
