"""Writes what is made from the settings classes: docs/reference/settings.md and config/schemas.

    python tools/reference.py            writes them
    python tools/reference.py --check    exits with a message when one is stale

Either refuses a setting of which nothing is said under its field, with its file and line.
"""

import argparse
import ast
import difflib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tradewind_cli.settings_files import FILES, WRITTEN, schema_of  # noqa: E402

PACKAGES: Final = (
    *("tradewind", "trainer_service", "inference_service", "risk_service", "orchestrator"),
    "tradewind_cli",
)
PAGE: Final = Path("docs/reference/settings.md")
SCHEMAS: Final = Path("config/schemas")
EDITOR_LINE: Final = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")

_HEAD: Final = """\
# Settings

Every key of every settings file: what it means, what it may be, and what holds when it is left out.
Written by `make reference` from the settings classes, as are the JSON Schemas in `config/schemas/`
that editors complete and check by: the first line of each file in `config/` names its schema, for
any editor with the YAML language server. `tradewind schema NAME` prints the same for files that lie
elsewhere.

An unknown key is refused, with its line.
"""
_REFERENCES: Final = """\
A value may be taken from elsewhere: `${NAME}` is a variable of the environment, `${NAME:-default}`
has a default for one that is absent or empty, `${file:PATH}` is the content of a file.
"""


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def editor_schema(path: Path) -> Path | None:
    """The schema that a settings file tells editors to use; None when it names none."""
    found = EDITOR_LINE.match(path.read_text())
    return (path.parent / found[1]).resolve() if found else None


def undocumented(root: Path = ROOT) -> list[str]:
    """Every setting of which nothing is said under its field, as `file:line: what to do`."""
    classes: list[tuple[Path, ast.ClassDef]] = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if not path.is_relative_to(root / "tradewind" / "api"):
                nodes = ast.walk(ast.parse(path.read_text()))
                place = path.relative_to(root)
                classes += [(place, node) for node in nodes if isinstance(node, ast.ClassDef)]
    names = {"Settings"}
    while more := {node.name for _, node in classes if _inherits(node, names)} - names:
        names |= more
    return [
        f"{path}:{line}: {problem}"
        for path, node in classes
        if _inherits(node, names) and not node.name.startswith("_")
        for line, problem in _gaps(node)
    ]


def _inherits(node: ast.ClassDef, names: set[str]) -> bool:
    return any(_base(each) in names for each in node.bases)


def _base(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)


def _gaps(node: ast.ClassDef) -> Iterator[tuple[int, str]]:
    if "Attributes:" in (ast.get_docstring(node) or ""):
        yield node.lineno, f"{node.name} tells of its settings at its top: move it under each field"
    for field, text in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        name = field.target.id
        said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if (
            not said
            and not name.startswith("_")
            and "ClassVar" not in ast.unparse(field.annotation)
        ):
            yield field.lineno, f"{node.name}.{name} says nothing under its field"


class Page:
    """The page of all settings.

    Args:
        schemas: The schemas by the name of the file they are of.
        examples: The settings files that the repository has, by the same.
    """

    def __init__(self, schemas: dict[str, dict[str, Any]], examples: dict[str, list[str]]) -> None:
        self._schemas = schemas
        self._examples = examples
        self._file = ""
        self._headings: dict[str, str] = {}  # of settings within settings, by their class
        self._found: list[tuple[str, str]] = []  # those of the section that is written

    def text(self) -> str:
        """The whole page."""
        return "\n".join([_HEAD, *(line for name in self._schemas for line in self._of(name))])

    def _of(self, name: str) -> Iterator[str]:
        schema, self._file = self._schemas[name], name
        examples = ", ".join(f"`{path}`" for path in self._examples.get(name, []))
        yield f"## {schema['title']}\n\n{schema['description']}\n"
        yield f"Files: {examples}. Schema: `tradewind schema {name}`."
        yield _REFERENCES if FILES[name].takes_references else ""
        yield from self._settings(schema, "")

    def _settings(self, schema: dict[str, Any], at: str) -> Iterator[str]:
        self._found = []
        required = schema.get("required", ())
        for name, setting in schema.get("properties", {}).items():
            facts = [self._kind(setting, f"{at}.{name}" if at else name)]
            if "default" in setting and setting["default"] not in ({}, None):
                facts.append(f"by default `{_as_yaml(setting['default'])}`")
            elif name in required:
                facts.append("required")
            yield f"- **`{name}`** ({'; '.join(facts)}): {setting.get('description', '')}"
        others = schema.get("additionalProperties")
        if isinstance(others, dict) and "properties" in schema:
            yield f"- any other name ({self._kind(others, f'{at}.NAME')})"
        yield ""
        for rule in schema.get("allOf", ()):
            name = rule["if"]["properties"]["algorithm"]["const"]
            self._class(rule["then"]["properties"]["algo_params"]["$ref"], f"algo_params, {name}")
        for class_name, path in self._found:
            found = self._schemas[self._file]["$defs"][class_name]
            yield f"### {self._headings[class_name]}\n\n{found['description']}\n"
            yield from self._settings(found, path)

    def _kind(self, setting: dict[str, Any], path: str) -> str:
        """What a setting may be, in words."""
        options = setting.get("anyOf") or setting.get("oneOf")
        if options:
            kinds = [self._kind(option, path) for option in options]
            return " or ".join(dict.fromkeys(filter(None, kinds)))
        if "$ref" in setting:
            return self._class(setting["$ref"], path)
        if "enum" in setting:
            return " or ".join(f"`{_as_yaml(value)}`" for value in setting["enum"])
        if "const" in setting:
            return f"`{_as_yaml(setting['const'])}`"
        match setting.get("type"):
            case "array":
                return f"list of {self._kind(setting.get('items', {}), f'{path}[]')}"
            case "object" if "properties" in setting:
                return f"`{{{', '.join(setting['properties'])}}}`"
            case "object":
                named = setting.get("patternProperties", {}).values()
                of = next(iter(named), setting.get("additionalProperties"))
                kind = self._kind(of, f"{path}.NAME") if isinstance(of, dict) else "anything"
                return f"names with {kind} each"
            case "string":
                return "path" if setting.get("format") == "path" else "text"
            case "boolean":
                return "`true` or `false`"
            case "null":
                return "`null`"
            case "integer" | "number" as kind:
                return f"{kind}{_bounds(setting)}"
        return "anything"

    def _class(self, reference: str, path: str) -> str:
        class_name = reference.rpartition("/")[2]
        schema = self._schemas[self._file]["$defs"][class_name]
        if class_name == "Reference":
            return ""
        if "properties" not in schema:
            return self._kind(schema, path)
        if class_name not in self._headings:
            told = schema["properties"]
            own = ", of your own" if {"kind", "options"} <= told.keys() else ""
            kind = f", {told['kind']['const']}" if "const" in told.get("kind", {}) else own
            self._headings[class_name] = f"{self._file}: {path}{kind}"
            self._found.append((class_name, path))
        heading = self._headings[class_name]
        return f"[{heading.partition(': ')[2]}](#{_anchor(heading)})"


def _bounds(setting: dict[str, Any]) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    if {"minimum", "maximum"} <= setting.keys():
        return f", {_number(setting['minimum'])} to {_number(setting['maximum'])}"
    return "".join(
        f", {word} {_number(setting[key])}" for key, word in words.items() if key in setting
    )


def _number(value: float) -> str:
    return f"{int(value) if value == int(value) else value:,}"


def _as_yaml(value: Any) -> str:
    if isinstance(value, dict | list):
        return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return value if isinstance(value, str) and value else json.dumps(value)


def _anchor(heading: str) -> str:
    """As GitHub and MkDocs make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def wanted() -> dict[Path, str]:
    """What each file must be, by its place in the repository."""
    schemas = {name: schema_of(name) for name in FILES}
    examples: dict[str, list[str]] = {}
    for path in sorted((ROOT / "config").rglob("*.yaml")):
        schema = editor_schema(path)
        if schema is not None:
            examples.setdefault(schema.stem, []).append(str(path.relative_to(ROOT)))
    shown = {**schemas, **{name: schema_of(name) for name in WRITTEN}}
    files = {SCHEMAS / f"{name}.json": schema_text(schema) for name, schema in shown.items()}
    return {PAGE: Page(schemas, examples).text(), **files}


def stale(files: dict[Path, str], root: Path = ROOT) -> list[str]:
    """Those that are not what they must be, each with the first lines that differ."""
    found = []
    for place, text in files.items():
        path = root / place
        now = path.read_text() if path.is_file() else ""
        changes = difflib.unified_diff(now.splitlines(), text.splitlines(), lineterm="", n=0)
        lines = [line for line in changes if not line.startswith(("---", "+++"))]
        if lines:
            found.append("\n    ".join([f"{place} is stale: run `make reference`", *lines[:4]]))
    others = [path.relative_to(root) for path in (root / SCHEMAS).glob("*")]
    return found + [f"{place}: no settings file is of it" for place in others if place not in files]


def main() -> None:
    """Parses the command line and does what it says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    check = parser.parse_args().check
    problems = undocumented()
    files = wanted() if not problems else {}
    if check:
        problems += stale(files) if not problems else []
    for place, text in () if check else files.items():
        (ROOT / place).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / place).write_text(text)
    if problems:
        sys.exit("\n".join(f"reference: {problem}" for problem in problems))
    print("reference: every setting is documented, the page and the schemas are up to date")


if __name__ == "__main__":
    main()
