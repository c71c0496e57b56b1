"""Each folder of examples/extending is a package of its own that passes beside Tradewind."""

from pathlib import Path

import pytest

from tests.integration.extending.packages import install, run_tests

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "extending"
PYPROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "someones-part"
version = "1.0"
dependencies = [{dependencies}]

[tool.setuptools]
py-modules = ["someones_part"]
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*/")))
def test_example_as_a_package_beside_tradewind_passes_its_tests(name: str, tmp_path: Path) -> None:
    installed = install(EXAMPLES / name, tmp_path)
    assert " passed" in run_tests(EXAMPLES / name, installed, tmp_path)


def make_package(folder: Path, dependencies: str, test: str) -> Path:
    folder.mkdir()
    (folder / "someones_part.py").touch()
    (folder / "pyproject.toml").write_text(PYPROJECT.format(dependencies=dependencies))
    (folder / "test_part.py").write_text(test)
    return folder


def test_package_that_needs_an_uninstalled_one_is_refused_with_its_name(tmp_path: Path) -> None:
    needs = "'tradewind[risk]', 'pytest>=1', 'surely-nobody-has-this>=2', 'numpy>=999'"
    source = make_package(tmp_path / "part", needs, "")
    with pytest.raises(AssertionError, match=r"part needs numpy>=999 \(here .*\), surely-nobody"):
        install(source, tmp_path)


def test_package_whose_test_finds_the_installed_one_alone_passes(tmp_path: Path) -> None:
    test = f"""
from importlib.metadata import version
from pathlib import Path

import someones_part
import tradewind

def test_where_it_is():
    assert Path(someones_part.__file__).is_relative_to({str(tmp_path / "installed")!r})
    assert version("someones-part") == "1.0"
    assert not Path.cwd().is_relative_to(Path(tradewind.__file__).parents[1])
"""
    source = make_package(tmp_path / "part", "'tradewind'", test)
    assert "1 passed" in run_tests(source, install(source, tmp_path), tmp_path)


def test_package_whose_test_fails_says_what_it_printed(tmp_path: Path) -> None:
    test = "import warnings\n\ndef test_it():\n    warnings.warn('it is old', stacklevel=1)\n"
    source = make_package(tmp_path / "part", "", test)
    with pytest.raises(AssertionError, match="UserWarning: it is old"):
        run_tests(source, install(source, tmp_path), tmp_path)
