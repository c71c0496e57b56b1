"""Self-contained HTML pages: a template, its charts, and the library that draws them."""

import base64
import functools
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from tradewind.reporting.style import Chart
from tradewind.reporting.tables import chart_table

__all__ = ["day", "render_page"]


def render_page(package: str, template: str, charts: Mapping[str, Chart], **values: Any) -> bytes:
    """Renders a page.

    plotly.js is part of the page, compressed; the browser unpacks it (Chrome 80, Firefox 113,
    Safari 16.4 and later). Nothing is loaded from anywhere. The template draws a chart by the macro
    `chart` of parts.html.j2, which puts its figures below it as a table.

    Args:
        package: Where the template lies, in a folder `templates`.
        template: File name of the template, which extends base.html.j2.
        charts: By the id of the element that each is drawn in.
        values: What else the template needs.

    Returns:
        UTF-8 HTML; equal arguments give equal bytes.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("tradewind.reporting")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = environment.get_template(template).render(
        charts=[{"id": name, **chart} for name, chart in charts.items()],
        tables={name: chart_table(chart) for name, chart in charts.items()},
        plotly=_packed_plotly(),
        **values,
    )
    return page.encode()


def day(timestamp: float) -> str:
    """The UTC day of a time in seconds since the epoch: "3 Mar 2024"."""
    return datetime.fromtimestamp(timestamp, tz=UTC).strftime("%-d %b %Y")


@functools.cache
def _packed_plotly() -> str:
    """plotly.js in gzip and base64: 2 MB instead of 5."""
    source = resources.files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    packer = zlib.compressobj(level=6, wbits=31)  # 31: gzip without a time in its header
    return base64.b64encode(packer.compress(source) + packer.flush()).decode()
