"""Tradewind's own features extractors: one file each, found by being here."""
