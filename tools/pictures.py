"""Takes the pictures of README and docs from a run of the demo, in headless Chromium.

    make demo && .venv/bin/python tools/pictures.py

Writes docs/images/live-view.png, report.png and tearsheet.png; `--run` names a run other than the
last one. The live view is shown what the run's decision log holds, up to its first halt.
"""

import argparse
import asyncio
import io
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
from PIL import Image
from playwright.async_api import Browser, async_playwright
from pydantic import TypeAdapter

from orchestrator.account.portfolio import read_allocations
from orchestrator.analysis.tearsheet import render_tearsheet
from orchestrator.decision_log import DecisionLog
from orchestrator.events import EventBus
from orchestrator.live import LiveView
from orchestrator.records import TickRecord
from orchestrator.settings import LiveSettings, OrchestratorSettings
from tradewind.settings import parse_settings

ROOT: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = ROOT / "docs" / "images"
SIZE: Final = {"width": 1366, "height": 768}
REPORT: Final = {"width": 1240, "height": 930}
COLOURS: Final = 255
LARGEST: Final = 150_000
_SHOWN_LIVE: Final = 40
_TICK_S: Final = 0.1


def read_ticks(log: DecisionLog) -> list[TickRecord]:
    """The ticks of a log until its first halt, or all of them."""
    make = TypeAdapter(TickRecord).validate_python
    found = []
    for row in log.ticks.to_pylist():
        tick = make(_plain(row))
        if tick.risk is not None and tick.risk.halted:
            break
        found.append(tick)
    return found


def _plain(value: Any) -> Any:
    """Times as the nanoseconds that records have, maps as mappings."""
    if isinstance(value, pd.Timestamp):
        return value.value
    if isinstance(value, dict):
        return {
            key: dict(each) if key in ("metrics", "unavailable") else _plain(each)
            for key, each in value.items()
        }
    return [_plain(each) for each in value] if isinstance(value, list) else value


async def show_live(browser: Browser, log: DecisionLog) -> bytes:
    """The live view while the last of the ticks come."""
    ticks, facts = read_ticks(log), log.facts
    allocations = [
        {"symbol": item.symbols[0], "policy": item.policy, "cash": item.cash}
        for item in read_allocations(facts)  # the demo's are of one symbol each
    ]
    settings = parse_settings(
        {"account": facts["account"], "allocations": allocations}, OrchestratorSettings
    )
    bus = EventBus(kept_ticks=len(ticks))
    bus.set_facts(facts)
    bus.set_state("TRADING")
    for tick in ticks[:-_SHOWN_LIVE]:
        bus.publish(tick)
    live = LiveSettings(listen="127.0.0.1:0", interval_s=_TICK_S)
    async with LiveView(settings, live, bus) as view:
        page = await browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        await page.goto(view.url)
        await page.wait_for_selector("[data-connection=live]")
        for tick in ticks[-_SHOWN_LIVE:]:
            bus.publish(replace(tick, decided_ns=time.time_ns()))
            await asyncio.sleep(_TICK_S)
        await page.wait_for_selector(f'#decisions tr[data-sequence="{ticks[-1].sequence}"]')
        taken = await page.screenshot()
        await page.close()
    return taken


async def show_file(browser: Browser, path: Path) -> bytes:
    """The head of a page."""
    page = await browser.new_page(viewport=REPORT)  # type: ignore[arg-type]
    await page.goto(path.as_uri())
    await page.wait_for_selector("[data-drawn]")
    taken = await page.screenshot()
    await page.close()
    return taken


def save(name: str, picture: bytes) -> None:
    """Writes a picture with as few colours as it needs.

    Raises:
        SystemExit: It is larger than a page should load.
    """
    few = Image.open(io.BytesIO(picture)).convert("RGB")
    few = few.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    path = IMAGES / name
    few.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size / 1e3:.0f} kB")
    if size > LARGEST:
        sys.exit(f"pictures: {name} has more than {LARGEST // 1000} kB")


async def take(run: Path) -> None:
    """Takes all pictures of a run."""
    log = DecisionLog(run / "orchestrator" / "log")
    (report,) = run.glob("bundles/*/*/report.html")
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], chromium_sandbox=False
        )
        with tempfile.TemporaryDirectory() as folder:
            sheet = Path(folder) / "tearsheet.html"
            sheet.write_bytes(render_tearsheet(log))
            save("tearsheet.png", await show_file(browser, sheet))
        save("report.png", await show_file(browser, report.resolve()))
        save("live-view.png", await show_live(browser, log))
        await browser.close()


def main() -> None:
    """Parses the command line and takes the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", type=Path, metavar="DIR", help="a folder in runs/demo")
    run = parser.parse_args().run
    runs = sorted((ROOT / "runs" / "demo").glob("*/orchestrator/log"))
    if run is None and not runs:
        sys.exit("pictures: there is no run of the demo; make one: make demo")
    asyncio.run(take(run or runs[-1].parents[1]))


if __name__ == "__main__":
    main()
