"""Self-contained HTML pages: their style, their charts and how figures are written.

Rendering a page needs the extra `reporting`.
"""
