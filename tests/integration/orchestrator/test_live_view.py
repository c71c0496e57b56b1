"""The live view in a real browser, over real runs of the orchestrator."""

import copy
import http.client
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from examples.print_traces import Collector
from orchestrator.decision_log import DecisionLog
from tests.collector import WaitForSpans, collector, wait_for_spans
from tests.integration.orchestrator.conftest import RISK_POLICY, Desk

__all__ = ["collector", "wait_for_spans"]

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
WAIT_MS = 60_000
# The content security policy of a page is a line on its console and an event; both are looked for.
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`violation of ${event.violatedDirective}`));
"""
NO_SERVER = re.compile(r"WebSocket connection to .* failed|ERR_CONNECTION_REFUSED")


@dataclass
class Run:
    """An orchestrator and where its live view is."""

    process: subprocess.Popen[str]
    url: str


Start = Callable[..., Run]


@pytest.fixture
def start(shared_desk: Desk) -> Iterator[Start]:
    """Starts an orchestrator whose bars come for minutes: each test ends it."""
    with ExitStack() as stack:

        def start(folder: Path, **overrides: Any) -> Run:
            settings = {
                "folder": folder,
                "log__folder": folder / "log",
                "feed__held_out_fraction": 0.9,
                "feed__speed": 1_800.0 * 60.0,  # ticks per second times their length
                "guard__max_lateness_s": 1e9,
                "live__listen": "127.0.0.1:0",
                "live__interval_s": 0.1,
            }
            config = shared_desk.config(**(settings | overrides))
            command = [sys.executable, "-m", "orchestrator", "--config", str(config)]
            process = stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            line = process.stdout.readline()
            return Run(process, re.findall(r"live view on (http://\S+)", line)[0])

        yield start


@dataclass
class Viewer:
    """A page, and what its console complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def waits_for_state(self, state: str) -> None:
        """Waits until the orchestrator is said to be in a state."""
        expect(self.page.locator("#state")).to_have_text(state, timeout=WAIT_MS)

    def waits_for_connection(self, connection: str) -> None:
        """Waits until the page is live, or has lost its connection."""
        body = self.page.locator("body")
        expect(body).to_have_attribute("data-connection", connection, timeout=WAIT_MS)

    def figure(self, name: str) -> float:
        """A key figure, unrounded; NaN where the page shows none."""
        value = self.page.locator(f"#{name}").get_attribute("data-value")
        return float("nan" if value is None else value)

    def last_row(self) -> int:
        """The number of the tick on top of the stream of decisions."""
        return int(self.page.locator("#decisions tr").first.get_attribute("data-sequence") or -1)


@contextmanager
def looking(chromium: Browser, url: str) -> Iterator[Viewer]:
    """Somebody looks, on the screen of a laptop, and finds nothing wrong with the page itself."""
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    viewer = Viewer(page)
    page.add_init_script(REPORT_VIOLATIONS)
    page.on("console", lambda message: viewer.complaints.append(message.text))
    page.on("pageerror", lambda error: viewer.complaints.append(str(error)))
    page.goto(url)
    yield viewer
    page.close()
    assert [text for text in viewer.complaints if not NO_SERVER.search(text)] == []


def test_page_of_a_run_shows_its_ticks_as_they_come_and_ends_with_the_equity_of_the_log(
    start: Start, chromium: Browser, tmp_path: Path
) -> None:
    run = start(tmp_path / "first")
    with looking(chromium, run.url) as viewer:
        page = viewer.page
        viewer.waits_for_state("TRADING")
        rows = page.locator("#decisions tr")
        for _ in range(3):
            seen = str(viewer.last_row())
            expect(rows.first).not_to_have_attribute("data-sequence", seen, timeout=WAIT_MS)
            assert viewer.last_row() > int(seen)
        assert page.locator("#state").text_content() == "TRADING"
        assert page.evaluate("document.documentElement.scrollWidth") <= 1366
        assert page.evaluate("document.documentElement.scrollHeight") <= 768
        for chart in ("equity", "drawdown", "latency"):
            assert page.locator(f"#{chart}-chart canvas").evaluate(
                "(item) => item.getContext('2d')"
                ".getImageData(0, 0, item.width, item.height).data.some((value) => value > 0)"
            )

        run.process.send_signal(signal.SIGTERM)
        viewer.waits_for_connection("lost")
        assert run.process.wait(60) == 0
        assert page.locator("#state").text_content() == "STOPPED"
        ticks = DecisionLog(tmp_path / "first" / "log").ticks
        assert viewer.last_row() >= len(ticks) - 2  # the signal may fall between log and page
        last = ticks.slice(viewer.last_row(), 1).to_pylist()[0]
        assert last["sequence"] == viewer.last_row()
        assert viewer.figure("equity") == last["equity"]
        assert viewer.figure("drawdown") == dict(last["risk"]["metrics"])["current_drawdown"]

        address = run.url.removeprefix("http://").rstrip("/")
        again = start(tmp_path / "second", live__listen=address)
        viewer.waits_for_connection("live")
        viewer.waits_for_state("TRADING")

        host, port = address.split(":")
        with closing(http.client.HTTPConnection(host, int(port))) as connection:
            own = {"Origin": f"http://{address}"}
            connection.request("POST", "/resume", body="{}", headers=own)
            answer = connection.getresponse()
            assert (answer.status, b"allow_resume" in answer.read()) == (403, True)
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(60) == 0


def test_halted_account_is_resumed_from_the_page_and_by_the_command_that_it_shows(
    shared_desk: Desk,
    start: Start,
    chromium: Browser,
    tmp_path: Path,
    collector: Collector,
    wait_for_spans: WaitForSpans,
) -> None:
    set_policy = shared_desk.set_risk_policy
    halting = copy.deepcopy(RISK_POLICY)
    halting["limits"]["max_drawdown"]["limit"] = 1e-9

    traced = {"tracing__endpoint": collector.endpoint}
    run = start(tmp_path / "run", live__allow_resume=True, **traced)
    with looking(chromium, run.url) as viewer:
        page = viewer.page
        viewer.waits_for_state("TRADING")
        expect(page.locator("#halt")).to_be_hidden()

        set_policy(halting)
        expect(page.locator("#halt-cause")).to_contain_text("drawdown_halt", timeout=WAIT_MS)
        assert page.locator("#state").text_content() == "HALTED"
        set_policy(RISK_POLICY)
        page.click("#halt-open")
        page.fill("#resume-name", "Ada <b>L</b>")
        page.fill("#resume-role", "risk_officer")
        page.fill("#resume-reason", "the limit was set by mistake")
        page.click("#resume-send")
        expect(page.locator("#resume")).to_be_hidden(timeout=WAIT_MS)
        viewer.waits_for_state("TRADING")

        set_policy(halting)
        viewer.waits_for_state("HALTED")
        set_policy(RISK_POLICY)
        command = shlex.split(page.locator("#halt-command-text").text_content() or "")
        subprocess.run([sys.executable, "-m", "tradewind_cli", *command[1:]], cwd=ROOT, check=True)
        viewer.waits_for_state("TRADING")
        expect(page.locator("#halt")).to_be_hidden(timeout=WAIT_MS)
        expect(page.locator("#troubles")).to_contain_text("RISK_HALT")
        assert run.process.poll() is None
    run.process.send_signal(signal.SIGTERM)  # which sends the spans that are left
    resume = "tradewind.api.risk.v1.RiskService/Resume"
    spans = wait_for_spans(lambda found: resume in {span.name for span in found})
    (resumed,) = [span for span in spans if span.name == resume]  # the command's is not traced
    assert (resumed.service, resumed.is_error) == ("orchestrator", False)
