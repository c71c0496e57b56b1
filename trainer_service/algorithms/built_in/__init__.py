"""Tradewind's own algorithms: one file each, found by being here."""
