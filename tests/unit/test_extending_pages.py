"""Code on a page of docs/extending is that of its example, to the letter."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path: ROOT / "examples" / "extending" / path.stem.replace("-", "_")
    for path in sorted((ROOT / "docs" / "extending").glob("*.md"))
}


@pytest.mark.parametrize(
    "page", [page for page, example in PAGES.items() if example.exists()], ids=lambda it: it.stem
)
def test_page_with_an_example_shows_its_code(page: Path) -> None:
    sources = "\n".join(path.read_text() for path in PAGES[page].rglob("*.py"))
    shown = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    assert shown
    assert [code for code in shown if code not in sources] == []
