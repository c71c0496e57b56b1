"""Compiled kernels: how they are compiled, and bars fetched ahead of them."""
