"""The risk service: the metrics of the training over gRPC, rules, durable halts and an audit."""
