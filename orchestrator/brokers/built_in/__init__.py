"""Tradewind's own brokers: one file each, found by being here; `name` is their `kind`."""
