"""Every page on a phone and on a laptop, light and dark: axe-core finds nothing to mend."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.integration.pages import made

pytestmark = pytest.mark.slow

WAIT_MS = 60_000
WIDTHS = {390: 844, 1366: 768}
# By which rules: what is not a colour is the same in the dark.
SCHEMES: dict[Literal["light", "dark"], tuple[str, ...]] = {
    "light": (),
    "dark": ("color-contrast",),
}
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
VIEWS: dict[str, Callable[[], Any]] = {
    "live view, before the first tick": lambda: made.live_view(iter(())),
    "live view, 20 symbols, halted, below nothing": lambda: made.live_view(
        made.ticks(100, halted_from=90, ends_at=-2_500.0), halt=True
    ),
}
FILES: dict[str, Callable[[Path], bytes]] = {
    "tear sheet": made.tearsheet,
    "report of a bundle": made.report,
    "walk-forward": made.walk_forward_page,
}


@contextmanager
def served(name: str, folder: Path) -> Iterator[str]:
    """The page's address."""
    if name in VIEWS:
        with VIEWS[name]() as url:
            yield url
        return
    path = folder / "page.html"
    path.write_bytes(FILES[name](folder / "made"))
    yield path.as_uri()


def opened(page: Page, name: str, url: str) -> Page:
    """The page, once it shows all that it has."""
    page.goto(url)
    is_live = name.startswith("live")
    page.wait_for_selector("[data-connection=live]" if is_live else "[data-drawn]", timeout=WAIT_MS)
    return page


def faults(page: Page, *rules: str) -> list[str]:
    """What axe-core finds by all of its rules, or by some, each with the place."""
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("name", [*VIEWS, *FILES])
def test_page_at_every_width_and_scheme_is_whole_and_accessible(
    name: str, chromium: Browser, tmp_path: Path
) -> None:
    complaints: list[str] = []
    with served(name, tmp_path) as url:
        page = chromium.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        opened(page, name, url)
        page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            for scheme, rules in SCHEMES.items():
                page.emulate_media(color_scheme=scheme)
                where = f"{name} at {width} px, {scheme}"
                page.wait_for_function(FITS, timeout=WAIT_MS)
                assert faults(page, *rules) == [], where
        wide = page.locator(".scroll:visible").evaluate_all(
            "(all) => all.filter((it) => it.scrollWidth > it.clientWidth + 1 && it.tabIndex !== 0)"
            ".length"
        )
        assert (wide, complaints) == (0, [])
        page.close()


def test_live_view_that_is_paused_or_lost_is_accessible_and_still_says_that_it_is_halted(
    chromium: Browser,
) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    with made.live_view(made.ticks(60, halted_from=50), halt=True) as url:
        opened(page, "live view", url)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "pause"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Space")
        expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#halt-cause")).to_contain_text("drawdown_halt", timeout=WAIT_MS)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#resume-name")).to_be_focused()
        assert faults(page) == []
        page.keyboard.press("Escape")
        expect(page.locator("#halt-open")).to_be_focused()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        expect(page.locator("#decisions tr")).to_have_count(60, timeout=WAIT_MS)
        expect(page.locator("#equity-chart")).to_have_attribute(
            "aria-label", re.compile("lowest, .* now"), timeout=WAIT_MS
        )
    page.wait_for_selector("[data-connection=lost]", timeout=WAIT_MS)
    page.wait_for_function(FITS, timeout=WAIT_MS)
    assert faults(page) == []
    page.close()


def test_report_without_javascript_shows_every_figure_of_its_charts(
    chromium: Browser, tmp_path: Path
) -> None:
    page = chromium.new_page(java_script_enabled=False)
    with served("tear sheet", tmp_path) as url:
        page.goto(url)
        table = page.locator("#equity + details")
        table.locator("summary").click()
        expect(table.get_by_role("row")).to_have_count(13)
        expect(table.get_by_role("columnheader").last).to_contain_text("Account")
    page.close()
