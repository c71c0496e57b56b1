"""The HTML report of a bundle: one file that needs nothing but a browser."""

from trainer_service.report.page import REPORT_FILE, render_report

__all__ = ["REPORT_FILE", "render_report"]
