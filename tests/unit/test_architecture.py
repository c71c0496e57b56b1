"""The import rules of the layers, each checked in a fresh process or in the source."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("trainer_service", "inference_service", "risk_service")
CLIENTS = ("orchestrator", "tradewind_cli")
PACKAGES = ("tradewind", *SERVICES, *CLIENTS)
OFF = "opentelemetry"  # traces are off until settings ask for them


def imported_modules(package: str) -> dict[Path, set[str]]:
    found: dict[Path, set[str]] = {}
    for path in (ROOT / package).rglob("*.py"):
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
        found[path.relative_to(ROOT)] = names
    assert found, f"no source in {package}"
    return found


def offenders(package: str, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, names in imported_modules(package).items()
        for name in sorted(names)
        if name.split(".")[0] in forbidden or name in forbidden
    ]


def modules_after_import(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(result.stdout.split())


@pytest.mark.parametrize("service", SERVICES)
def test_services_with_their_imports_never_reach_each_other(service: str) -> None:
    others = tuple(name for name in (*SERVICES, *CLIENTS) if name != service)
    assert offenders(service, others) == []


def test_library_with_its_imports_reaches_no_service() -> None:
    assert offenders("tradewind", (*SERVICES, *CLIENTS)) == []


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("tradewind/risk", ("grpc", "torch", "tradewind.rpc", "time", "datetime")),
        ("tradewind/market", ("grpc", "torch", "pandas")),
        ("tradewind/bundle", ("grpc", "torch")),
        ("tradewind/logs", ("grpc", "torch")),
        ("tradewind/tracing", ("torch", "tradewind.rpc")),
        ("tradewind/reporting", ("grpc", "torch")),
        ("tradewind/policy", ("grpc", "stable_baselines3", "gymnasium")),
        ("orchestrator", ("torch", "stable_baselines3", "gymnasium")),
    ],
)
def test_package_with_its_imports_keeps_its_layer(package: str, forbidden: tuple[str, ...]) -> None:
    assert offenders(package, forbidden) == []


def test_torch_with_the_library_lives_in_policy_only() -> None:
    users = [text for text in offenders("tradewind", ("torch",)) if "tradewind/policy" not in text]
    assert users == []


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
