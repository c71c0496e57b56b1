"""What each step of a rising load brought: table, page, and judgement."""

import html
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from tests.load.results import OK, Calls

__all__ = ["REFUSED", "Step", "find_knee", "judge", "steps_table", "write_page"]

REFUSED = "RESOURCE_EXHAUSTED"
# Beyond the knee a checked call is refused, less of the offered calls is answered, or the median of
# Predict is this many times that of the first step.
ANSWERED_SHARE = 0.97
TAKE_OFF = 5.0
# The median after the last step beside that of the first one; the machine has other work, too.
RECOVERED = 2.0
# Throughput beyond the knee beside the best: refusing must not eat up what answering needs.
KEPT_SHARE = 0.5
_HEADINGS = ("offered", "answered", "refused", "checked", "refused", "failed")
_LATENCIES = ("p50", "p99", "refusal", "p99")


def _no_calls() -> Calls:
    return Calls(*(np.array([], dtype=kind) for kind in (np.str_, float, float, np.str_)))


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One rate of calls for a while.

    Attributes:
        offered: Calls per second that were to be sent.
        start_s: Its start, in seconds since the epoch.
        end_s: Its end.
        sent: Calls of h2load that ended, answered or refused.
        broken: Calls of h2load whose stream broke.
        answered_count: Predictions that the server gave, Locust's included.
        checked: Locust's calls meanwhile.
    """

    offered: int
    start_s: float
    end_s: float
    sent: int
    broken: int
    answered_count: int
    checked: Calls = field(default_factory=_no_calls)

    def with_checked(self, calls: Calls) -> "Step":
        """The step with Locust's calls."""
        return replace(self, checked=calls)

    @property
    def answered(self) -> float:
        """Calls of h2load per second that got an action."""
        return min(self._answered_count, self.sent) / (self.end_s - self.start_s)

    @property
    def refused(self) -> float:
        """Calls of h2load per second that ended without one.

        h2load does not tell a refusal from an answer, so this is what it sent less what the
        server's metrics count. Calls that were under way at the end make it a little too small.
        """
        return max(0, self.sent - self._answered_count) / (self.end_s - self.start_s)

    @property
    def predict_ms(self) -> tuple[float, float]:
        """p50 and p99 of Locust's Predict calls that were answered."""
        p50, p99 = self.checked.named("Predict").with_outcome(OK).percentiles_ms((50.0, 99.0))
        return p50, p99

    @property
    def refusal_ms(self) -> tuple[float, float]:
        """p50 and p99 of Locust's calls that were refused."""
        p50, p99 = self.checked.with_outcome(REFUSED).percentiles_ms((50.0, 99.0))
        return p50, p99

    @property
    def failures(self) -> Counter[str]:
        """Locust's calls that were neither answered rightly nor refused, by what they were."""
        outcomes = Counter(self.checked.outcomes.tolist())
        return Counter({name: n for name, n in outcomes.items() if name not in (OK, REFUSED)})

    @property
    def _answered_count(self) -> int:
        own = len(self.checked.named("Predict", "PredictStream").with_outcome(OK))
        return max(0, self.answered_count - own)


def find_knee(steps: Sequence[Step]) -> Step | None:
    """The last step before calls are refused, throughput stops growing or latency takes off."""
    knee = None
    for step in steps[:-1]:
        keeps_up = step.answered >= ANSWERED_SHARE * step.offered and not _refused_count(step)
        if not keeps_up or step.predict_ms[0] > TAKE_OFF * steps[0].predict_ms[0]:
            break
        knee = step
    return knee


def judge(steps: Sequence[Step]) -> list[str]:
    """What should not have been: steps up, and at last one that offers what the first did."""
    *up, after = steps
    problems = []
    for step in steps:
        for outcome, count in sorted(step.failures.items()):
            problems.append(f"{step.offered:,} calls/s: {count} × {outcome}")
        if step.broken:
            problems.append(f"{step.offered:,} calls/s: {step.broken} streams of h2load broke")
    knee = find_knee(steps)
    if knee is None:
        return [*problems, "the first step is beyond the knee already"]
    if refused := _refused_count(after):
        problems.append(f"{refused} calls were refused after the load")
    beyond = up[up.index(knee) + 1 :]
    if not any(map(_refused_count, beyond)):
        problems.append("no call was refused: the load was not more than the server can answer")
    best = max(step.answered for step in up)
    if beyond and beyond[-1].answered < KEPT_SHARE * best:
        problems.append(
            f"at {beyond[-1].offered:,} calls/s offered only {beyond[-1].answered:,.0f}/s "
            f"were answered, {best:,.0f}/s at best"
        )
    if not after.predict_ms[0] <= RECOVERED * up[0].predict_ms[0]:
        problems.append(
            f"the median of Predict is {after.predict_ms[0]:.2f} ms after the load, "
            f"{up[0].predict_ms[0]:.2f} ms before"
        )
    return problems


def steps_table(steps: Sequence[Step]) -> Table:
    """A row for each step; latencies in milliseconds."""
    table = Table(
        title="h2load, calls/s: offered, answered, refused. Locust, calls: checked,\n"
        "refused, failed; ms: p50 and p99 of Predict, p50 and p99 of refusals",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for heading in (*_HEADINGS, *_LATENCIES):
        table.add_column(heading, justify="right")
    for row in _rows(steps):
        table.add_row(*row)
    return table


def write_page(path: Path, steps: Sequence[Step], problems: Sequence[str]) -> None:
    """Writes the table, the judgement and a picture as one HTML page."""
    heads = "".join(f"<th>{heading}</th>" for heading in (*_HEADINGS, *_LATENCIES))
    rows = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in _rows(steps)
    )
    knee = find_knee(steps)
    found = "none" if knee is None else f"{knee.offered:,} calls/s"
    verdict = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    verdict = verdict or "<li>sheds load beyond the knee, and recovers</li>"
    path.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Step load</title>"
        "<style>body{font:15px sans-serif;margin:2em;max-width:70em}"
        "table{border-collapse:collapse}td,th{padding:.3em .8em;text-align:right;"
        "border-bottom:1px solid #ddd}svg{max-width:100%;height:auto}</style>"
        f"<h1>Step load on Predict</h1><p>Knee: {found}</p><ul>{verdict}</ul>"
        f"<table><tr>{heads}</tr>{rows}</table>"
        "<p>offered, answered, refused: calls of h2load per second. checked, refused, failed: "
        "calls of Locust to all services, each answer checked; in ms p50 and p99 of its Predict, "
        "and of its refusals.</p>"
        f"{_picture(steps)}</html>"
    )


def _refused_count(step: Step) -> int:
    return len(step.checked.with_outcome(REFUSED))


def _rows(steps: Sequence[Step]) -> list[tuple[str, ...]]:
    return [
        (
            f"{step.offered:,}",
            f"{step.answered:,.0f}",
            f"{step.refused:,.0f}",
            f"{len(step.checked):,}",
            f"{_refused_count(step):,}",
            f"{step.failures.total():,}",
            *("–" if np.isnan(ms) else f"{ms:,.1f}" for ms in (*step.predict_ms, *step.refusal_ms)),
        )
        for step in steps
    ]


def _picture(steps: Sequence[Step]) -> str:
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    throughput, latency = figure.subplots(2, 1, sharex=True)
    places = range(len(steps))
    throughput.plot(places, [s.offered for s in steps], "--", color="#8a8d91", label="offered")
    throughput.plot(places, [s.answered for s in steps], color="#0b6e4f", label="answered")
    throughput.plot(places, [s.refused for s in steps], color="#d98e04", label="refused")
    throughput.set_ylabel("calls/s")
    for index, name in enumerate(("p50", "p99")):
        values = [step.predict_ms[index] for step in steps]
        latency.plot(places, values, color=("#0b6e4f", "#3d5a98")[index], label=name)
    latency.set_yscale("log")
    latency.set_ylabel("checked Predict, ms")
    latency.set_xlabel("calls/s offered, step by step")
    latency.set_xticks(list(places), [f"{step.offered:,}" for step in steps])
    for axes in (throughput, latency):
        axes.legend(frameon=False)
        axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    text = io.StringIO()
    figure.savefig(text, format="svg")
    picture = text.getvalue()
    return picture[picture.index("<svg") :]  # without the heads of a file of its own
