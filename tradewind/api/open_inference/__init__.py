"""Wire contract of the Open Inference Protocol."""
