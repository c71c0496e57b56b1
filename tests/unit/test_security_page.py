"""docs/operations/security.md names tests that are there, settings that load, and every role."""

import ast
import re
from pathlib import Path

import yaml

from tradewind.rpc.access import AccessSettings, Role
from tradewind.settings import parse_settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations" / "security.md").read_text()


def test_security_page_with_its_claims_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    there = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(named) > 20
    assert named - there == set()
    _, _, table = PAGE.partition("| who | can | cannot | shown by |")
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert all("`test_" in row for row in rows)


def test_security_page_with_its_example_gives_a_policy_of_known_roles() -> None:
    (example,) = re.findall(r"```yaml\n(identities:.*?)```", PAGE, re.S)
    settings = parse_settings(yaml.safe_load(example.replace("…", "0" * 64)), AccessSettings)
    assert settings.identities["Alice Example"].resumes_as == "risk_officer"
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == set(Role)
