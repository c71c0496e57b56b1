"""Wire contract of the risk service."""
