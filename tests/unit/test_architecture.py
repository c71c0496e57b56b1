"""The import rules of the layers, each checked in a fresh process or in the source."""

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("trainer_service", "inference_service", "risk_service")
CLIENTS = ("orchestrator", "tradewind_cli")
PACKAGES = ("tradewind", *SERVICES, *CLIENTS)
OFF = "opentelemetry"  # traces are off until settings ask for them
# The only ones, none at the top of a package: calculators read arrays of the engine and are called
# by it; a copy of an environment is looked at by what knows environments.
CIRCLES = {
    "tradewind/risk": {"calculators", "engine", "outside", "policy", "settings"},
    "trainer_service/environment": {"custom", "intraday"},
}


@dataclass(frozen=True)
class Row:
    """A package on the page, what it may import of ours, and what it never imports."""

    package: str
    text: str
    may_import: tuple[str, ...]
    never: tuple[str, ...]


def read_rows() -> list[Row]:
    """The table of packages, which is the rule."""
    table = PAGE.split(f"{HEADER}\n")[1].split("\n\n")[0]
    rows = []
    for line in table.splitlines()[1:]:
        first, text, may_import, never = line.strip().strip("|").split("|")
        (package,) = quoted(first)
        allowed = quoted(may_import) + ([GROUND] if "the ground" in may_import else [])
        rows.append(Row(package, text, tuple(allowed), tuple(quoted(never))))
    return rows


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


PAGE = next((ROOT / "docs").rglob("architecture.md")).read_text()  # on whichever shelf it is
HEADER = "| package | what it does | may import | never |"
GROUND = "tradewind/*.py"
ROWS = read_rows()
NAMED = {row.package for row in ROWS}


def row_name(module: str) -> str:
    """The row that a module of ours belongs to."""
    package, *inside = module.split(".")
    if package != "tradewind":
        return package
    room = f"tradewind/{inside[0]}" if inside else GROUND
    return next((name for name in (room, f"{room}.py") if name in NAMED), GROUND)


def sources(package: str) -> list[Path]:
    """Its Python files, without those of rooms that have a row of their own."""
    found = ROOT.glob(package if package.endswith(".py") else f"{package}/**/*.py")
    paths = [path.relative_to(ROOT) for path in found]
    return [path for path in paths if row_name(".".join(path.with_suffix("").parts)) == package]


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Every module that a file names in an import, and what it takes from packages of ours."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names.add(module)
            if module.split(".")[0] in PACKAGES:  # such as `from tradewind_cli import bundle`
                names.update(f"{module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def modules_after_import(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(result.stdout.split())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.package)
def test_package_imports_what_its_row_of_the_page_lets_it(row: Row) -> None:
    paths = sources(row.package)
    assert paths, f"{row.package} is on the page and has no source"
    allowed = {row.package, *row.may_import}
    if "tradewind" in allowed or "tradewind/*" in allowed:
        allowed |= {name for name in NAMED if name.startswith("tradewind/")}
    assert allowed - {"tradewind", "tradewind/*"} <= NAMED
    wrong = [
        f"{path} imports {name}"
        for path in paths
        for name in sorted(imports_of(path))
        if (name.split(".")[0] in PACKAGES and row_name(name) not in allowed)
        or name in row.never
        or name.split(".")[0] in row.never
    ]
    assert wrong == []


def test_page_has_a_row_for_every_package_and_names_the_ground() -> None:
    rooms = {room for room in rooms_of("tradewind") if (ROOT / "tradewind" / room).is_dir()}
    assert {f"tradewind/{room}" for room in rooms} <= NAMED
    assert {*PACKAGES} - {"tradewind"} <= NAMED
    (ground,) = (row for row in ROWS if row.package == GROUND)
    modules = {room for room in rooms_of("tradewind") if row_name(f"tradewind.{room}") == GROUND}
    assert set(quoted(ground.text)) - {"import"} == modules


@pytest.mark.parametrize(
    ("package", "heading"),
    [
        ("trainer_service", "trainer"),
        ("inference_service", "inference service"),
        ("risk_service", "risk service"),
        ("orchestrator", "orchestrator"),
    ],
)
def test_page_has_a_row_for_every_room(package: str, heading: str) -> None:
    section = PAGE.split(f"### The rooms of the {heading}\n")[1].split("\n#")[0]
    named = re.findall(r"^\| `([^`]+)` \| \S", section, re.M)
    assert sorted(named) == sorted(rooms_of(package))


def rooms_of(package: str) -> dict[str, list[Path]]:
    """Files and folders at the top of a package, and the sources in each."""
    rooms: dict[str, list[Path]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        room = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if room not in ("__init__", "__main__"):
            rooms.setdefault(room, []).append(path.relative_to(ROOT))
    return rooms


def circles_of(package: str) -> set[str]:
    """Rooms that import each other, however far around."""
    rooms = rooms_of(package)
    prefix = package.replace("/", ".") + "."
    reached: dict[str, set[str]] = {}
    for room, paths in rooms.items():
        names = {name for path in paths for name in imports_of(path) if name.startswith(prefix)}
        reached[room] = {name.removeprefix(prefix).split(".")[0] for name in names} & rooms.keys()
        reached[room].discard(room)
    for between in rooms:  # Warshall's closure
        for room in rooms:
            if between in reached[room]:
                reached[room] |= reached[between]
    return {room for room in rooms if room in reached[room]}


def test_rooms_of_a_package_have_no_circle_of_imports() -> None:
    folders = [path.parent.relative_to(ROOT) for path in public_packages()]
    circles = {str(folder): circles_of(str(folder)) for folder in folders}
    assert {folder: rooms for folder, rooms in circles.items() if rooms} == CIRCLES


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        (
            "import inference_service.service, inference_service.execution_agent",
            {"stable_baselines3", "gymnasium", "pandas", "matplotlib", "pyarrow", "jinja2", OFF},
        ),
        ("import inference_service.workers.worker, tradewind.policy", {"torch"}),
        (
            "import inference_service.command, inference_service.workers.supervisor",
            {"torch", "numba"},
        ),
        ("import tradewind.risk", {"grpc", "torch", "pandas", "pyarrow"}),
        # Each job has a process of its own, which the service's database is nothing to.
        ("import trainer_service.jobs.worker", {"sqlalchemy", "alembic", "grpc", OFF}),
        ("import trainer_service.command", {"torch", "stable_baselines3", "mlflow", OFF}),
        (
            "import risk_service.command, tradewind.rpc.clients",
            {"torch", "stable_baselines3", "gymnasium", "pandas", OFF},
        ),
        ("import tradewind.bundle", {"grpc", "torch", "numba"}),
        # What a command needs, it imports itself: `tradewind --help` is there at once.
        ("import tradewind_cli.command", {"torch", "grpc", "numba", "numpy", "pydantic", "yaml"}),
    ],
)
def test_fresh_process_with_an_import_stays_light(statement: str, forbidden: set[str]) -> None:
    assert modules_after_import(statement) & forbidden == set()


def public_packages() -> list[Path]:
    folders = (ROOT / name for name in PACKAGES)
    inits = (path for folder in folders for path in folder.rglob("__init__.py"))
    return [path for path in inits if "api" not in path.relative_to(ROOT).parts]


@pytest.mark.parametrize("path", public_packages(), ids=lambda path: str(path.parent.name))
def test_public_package_with_imports_lists_them_in_all(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").split(".")[0] in PACKAGES
        and node.module != "tradewind.lazy"
        for alias in node.names
    }
    exported = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert len(exported) == (1 if imported or exported else 0)
    if exported:
        assert imported <= set(exported[0])


def lazy_names_of(path: Path) -> dict[str, str]:
    """The table of a package whose names are imported when they are asked for."""
    tables: dict[str, dict[str, str]] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign):
            target = ast.unparse(node.targets[0])
            if isinstance(node.value, ast.Dict):
                tables[target] = ast.literal_eval(node.value)
            elif target == "__getattr__" and isinstance(node.value, ast.Call):
                table = node.value.args[1]
                return tables[table.id] if isinstance(table, ast.Name) else ast.literal_eval(table)
    return {}


def test_public_packages_with_lazy_names_have_them_where_they_say() -> None:
    named = [(path, *item) for path in public_packages() for item in lazy_names_of(path).items()]
    assert len(named) > 20
    for path, name, module in named:
        folder = ROOT if module.startswith("tradewind.") else path.parent
        file = folder / Path(*module.split("."))
        source = file.with_suffix(".py") if file.with_suffix(".py").is_file() else file / path.name
        assert source.is_file(), f"{path}: {name} is said to be in {module}"
        assert re.search(rf"\b{name}\b", source.read_text()), f"{source} lacks {name}"
