"""The pages of extending: one a door, in one form, with the code of its example to the letter."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "extending"
PAGES = ROOT / "docs" / "extending"
NAMES = sorted(path.name for path in EXAMPLES.glob("*/"))
SECTIONS = ["Name it", "Write it", "What it must keep", "What is refused", "Test it"]


@pytest.mark.parametrize("name", NAMES)
def test_page_of_an_example_has_its_sections_and_shows_its_code(name: str) -> None:
    page = (PAGES / f"{name.replace('_', '-')}.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.M) == SECTIONS
    sources = "\n".join(path.read_text() for path in (EXAMPLES / name).glob("*.py"))
    shown = re.findall(r"```python\n(.*?)```", page, re.S)
    assert shown
    assert [code for code in shown if code not in sources] == []


def test_table_of_doors_with_its_pages_names_every_example_and_its_entry_points() -> None:
    table = (PAGES / "index.md").read_text()
    rows = re.findall(r"^\| \[[^]]+\]\(([a-z-]+)\.md\) \| .* \| `(\w+)` \|$", table, re.M)
    assert sorted(page.replace("-", "_") for page, _ in rows) == NAMES
    for page, group in rows:
        project = (EXAMPLES / page.replace("-", "_") / "pyproject.toml").read_text()
        assert f'[project.entry-points."tradewind.{group}"]' in project
