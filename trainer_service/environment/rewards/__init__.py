"""Rewards that a configuration may name beside those of the compiled step: one file each."""
