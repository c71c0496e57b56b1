"""Tearsheets: a decision log as one self-contained HTML page."""

from orchestrator.analysis.tearsheet.page import render_tearsheet

__all__ = ["render_tearsheet"]
