"""Code on a page about a part of a training is that of its example, to the letter."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["algorithm", "data_source", "feature", "reward", "tracker"])
def test_page_with_an_example_shows_its_code(name: str) -> None:
    page = (ROOT / "docs" / "extending" / f"{name.replace('_', '-')}.md").read_text()
    example = ROOT / "examples" / "extending" / name
    sources = "\n".join(path.read_text() for path in example.glob("*.py"))
    shown = re.findall(r"```python\n(.*?)```", page, re.S)
    assert shown
    assert [code for code in shown if code not in sources] == []
