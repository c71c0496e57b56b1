"""The notebooks run from top to bottom, and what each cell ends with can be shown."""

import ast
import re
from pathlib import Path
from types import CodeType

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def cells(notebook: Path) -> list[str]:
    """The code cells of a script in jupytext's percent format."""
    parts = re.split(r"^# %%(.*)$", notebook.read_text(), flags=re.M)
    return [
        text for kind, text in zip(parts[1::2], parts[2::2], strict=True) if "markdown" not in kind
    ]


def split_last(cell: str) -> tuple[CodeType, CodeType | None]:
    """A cell as a notebook runs it: its statements, and the expression that it shows."""
    tree = ast.parse(cell)
    shown = None
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        tree.body.pop()
        shown = compile(ast.Expression(last.value), "cell", "eval")
    return compile(tree, "cell", "exec"), shown


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_from_top_to_bottom_runs(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    found = cells(notebook)
    assert len(found) >= 5
    for cell in found:
        statements, shown = split_last(cell)
        exec(statements, names)
        value = None if shown is None else eval(shown, names)
        assert "<table>" in getattr(value, "_repr_html_", lambda: "<table>")()
        assert len(repr(value)) < 5_000  # nobody reads a dump


def test_docs_name_every_notebook() -> None:
    page = (FOLDER.parents[1] / "docs" / "start" / "notebooks.md").read_text()
    assert [path.name for path in NOTEBOOKS if f"examples/notebooks/{path.name}" not in page] == []
