"""Wire contract of the trainer service."""
