"""Bundles are verified, loaded and proved in a process of their own, which hands over arrays.

`process` keeps it running and needs next to nothing; `loader` asks it and makes versions.
"""
