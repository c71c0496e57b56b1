"""Tearsheets: a decision log as one self-contained HTML page."""

from orchestrator.analysis.tearsheet.page import latency_rows, render_sheet, render_tearsheet
from orchestrator.analysis.tearsheet.sheet import Sheet, read_sheet

__all__ = ["Sheet", "latency_rows", "read_sheet", "render_sheet", "render_tearsheet"]
