"""The figures of a chart, for who does not see it."""

import numpy as np

from orchestrator.analysis.tearsheet.charts import count_chart
from tradewind.reporting.charts import Curve, growth_chart, line
from tradewind.reporting.style import axis, base_layout
from tradewind.reporting.tables import chart_table
from tradewind.risk import FloatArray

DAY_S = 86_400.0
DAYS: FloatArray = 1.6e9 + DAY_S * np.arange(10_000, dtype=np.float64)


def test_table_of_a_long_chart_has_its_ends_each_line_and_the_limits_by_name() -> None:
    values = np.linspace(100.0, 50.0, 10_000)
    chart = growth_chart(DAYS, {"Account": Curve(values, "#000000")}, 0.25)

    table = chart_table(chart)

    assert table.headings == (
        "Time (UTC)",
        "Account · Return after costs (%)",
        "Account · Drawdown (%)",
    )
    assert len(table.rows) == 12
    assert table.rows[0] == ("2020-09-13 12:26", "0", "0")
    assert table.rows[-1][1:] == ("−50", "50")
    assert table.named == ("Account", "Limit of max_drawdown: 25 %")


def test_table_of_lines_that_begin_and_end_elsewhere_shows_a_dash_and_no_zero() -> None:
    times = DAYS[:100]
    data = [
        line("Whole", times, np.arange(100.0)),
        line("Part", times[40:60], np.full(20, 7.0)),
        line("Gone", times, np.full(100, np.nan)),
    ]
    layout = base_layout(100, xaxis=axis("", type="date"), yaxis=axis("Value"))

    rows = chart_table({"data": data, "layout": layout}).rows

    assert [row[2] for row in rows if row[2] != "–"] == ["7", "7"]
    assert {row[3] for row in rows} == {"–"}


def test_table_of_counts_has_every_one_the_most_frequent_first() -> None:
    table = chart_table(count_chart({"DECIDED": 1_200, "HELD": 4}, "ticks"))

    assert table.headings == ("code", "ticks")
    assert table.rows == (("DECIDED", "1,200"), ("HELD", "4"))
