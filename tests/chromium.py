"""A headless Chromium, for what people see in a browser."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


def _program() -> str:
    for name in ("chromium-headless-shell", "chromium"):
        if found := shutil.which(name):
            return found
    if os.environ.get("TRADEWIND_SKIP_CHROMIUM") == "1":
        pytest.skip("Chromium is not installed and TRADEWIND_SKIP_CHROMIUM is 1")
    pytest.fail(
        "Chromium is not installed: apt-get install chromium-headless-shell, "
        "or set TRADEWIND_SKIP_CHROMIUM=1 to go without"
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; not for longer than a module, whose tests have no loop of their own."""
    program = _program()
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []  # it refuses to run as root with one
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()
