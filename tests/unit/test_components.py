"""Doors: names, paths and entry points, and what is said of a part that does not fit."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tradewind.components import Door, a_class, an_instance, closed_doors
from tradewind.errors import ComponentError, ConflictError, SettingsError

GROUP = "tradewind.tests_of_doors"


class Wheel:
    """What the doors of these tests take."""

    def __init__(self, spokes: int = 8) -> None:
        self.spokes = 360 // spokes


class Spare(Wheel):
    """A part of Tradewind's own."""


CLASSES = Door(
    "wheel", a_class(Wheel), own={"spare": f"{__name__}:Spare"}, group="tradewind.tests_of_doors"
)
INSTANCES = Door("wheel", an_instance(Wheel))

MODULE = f"""
from {__name__} import Wheel

class Wooden(Wheel):
    class Of:
        oak = Wheel(4)

class Fast(Wheel):
    def __init__(self, spokes=8, **more):
        if more:
            raise KeyError("more")
        super().__init__(spokes)

def roll(): ...
"""

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """`write("module", text)` makes a module that can be imported for the time of a test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(name: str, text: str) -> None:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def announce(folder: Path, package: str, **parts: str) -> None:
    """What an installation of a package leaves: its name and its entry points."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in parts.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))


def test_door_with_a_name_a_path_or_an_entry_point_gives_the_part(
    tmp_path: Path, write: Write
) -> None:
    write("wheelwright.shop", MODULE)
    announce(tmp_path, "wheelwright", wooden="wheelwright.shop:Wooden", alias=f"{__name__}:Spare")
    assert CLASSES.find("spare", "kind") is Spare
    assert CLASSES.find(f"{__name__}:Spare", "kind") is Spare
    assert CLASSES.find("wooden", "kind").__name__ == "Wooden"
    assert CLASSES.find("wheelwright.shop:Fast", "kind").__name__ == "Fast"
    assert INSTANCES.find("wheelwright.shop:Wooden.Of.oak", "kind").spokes == 90
    assert CLASSES.names() == ("spare", "alias", "wooden")  # Tradewind's own first


def test_door_with_nobody_asking_imports_nothing(tmp_path: Path, write: Write) -> None:
    write("boom", "raise AssertionError('imported')")
    announce(tmp_path, "boom", boom="boom:Wheel")
    assert "boom" in CLASSES.names()
    assert CLASSES.find("spare", "kind") is Spare
    assert "boom" not in sys.modules


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("wodden", r"there is no wheel 'wodden'; there are spare, and `package.module:Attribute`"),
        ("", "there is no wheel ''"),
        ("os", "there is no wheel 'os'"),
        ("os.path:", "there is no wheel"),
        (":Wheel", "there is no wheel"),
        ("../shop:Wheel", "there is no wheel"),
        ("shop:Wooden; import os", "there is no wheel"),
        ("shop:Wooden()", "there is no wheel"),
        ("shop:Nothing", "shop has no Nothing"),
        ("shop:Wooden.Of.ash", "shop has no Wooden.Of.ash"),
        ("shop:roll", "shop:roll is function 'roll'; expected: a subclass of .*Wheel"),
        ("shop:Wooden.Of", "shop:Wooden.Of is the class 'Wooden.Of'"),
        ("shop:Wooden.Of.oak", "shop:Wooden.Of.oak is Wheel"),
        ("no_such_shop:Wooden", "no_such_shop cannot be imported: ModuleNotFoundError"),
        ("broken:Wooden", "broken cannot be imported: SyntaxError"),
        ("raises:Wooden", "raises cannot be imported: ZeroDivisionError: division by zero"),
        ("leaves:Wooden", "leaves cannot be imported: SystemExit: 3"),
    ],
)
def test_door_with_what_it_does_not_let_in_says_field_problem_and_expectation(
    write: Write, wanted: str, says: str
) -> None:
    write("shop", MODULE)
    write("broken", "class Wooden(:")
    write("raises", "1 / 0")
    write("leaves", "import sys; sys.exit(3)")
    with pytest.raises(ComponentError, match=f"^wheel is refused: cart.kind: {says}") as refused:
        CLASSES.find(wanted, "cart.kind")
    assert refused.value.violations[0].field == "cart.kind"
    assert "expected: a subclass of " in str(refused.value)
    assert isinstance(refused.value, SettingsError)


def test_door_with_two_parts_of_one_name_names_both(tmp_path: Path, write: Write) -> None:
    write("shop", MODULE)
    announce(tmp_path, "one", wooden="shop:Wooden", spare="shop:Fast")
    announce(tmp_path, "other", wooden="shop:Fast")
    with pytest.raises(ComponentError, match=r"'wooden' is the name of several: shop:\w+, shop:"):
        CLASSES.find("wooden", "kind")
    with pytest.raises(ComponentError, match=f"'spare' is the name of several: {__name__}:Spare"):
        CLASSES.find("spare", "kind")  # nobody takes the place of Tradewind's own
    assert CLASSES.find("shop:Wooden", "kind").__name__ == "Wooden"


def test_door_with_a_group_of_another_kind_does_not_see_it(tmp_path: Path, write: Write) -> None:
    write("shop", MODULE)
    announce(tmp_path, "one", wooden="shop:Wooden")
    assert INSTANCES.names() == ()
    with pytest.raises(ComponentError, match="there is no wheel 'wooden'; there are none, and"):
        INSTANCES.find("wooden", "kind")


def test_make_with_code_that_raises_says_what_and_in_which_field(write: Write) -> None:
    write("shop", MODULE)
    fast = CLASSES.find("shop:Fast", "kind")
    assert CLASSES.make(fast, "kind", 4).spokes == 90
    with pytest.raises(ComponentError, match=r"cart.kind: Fast raised KeyError: 'more'"):
        CLASSES.make(fast, "cart.kind", colour="red")
    with pytest.raises(ComponentError, match=r"Fast raised ZeroDivisionError"):
        CLASSES.make(fast, "cart.kind", 0)
    with pytest.raises(ComponentError, match=r"exit raised SystemExit: 3"):
        CLASSES.make(sys.exit, "cart.kind", 3)
    with pytest.raises(ComponentError, match=r"Fast raised TypeError"):
        CLASSES.make(fast, "cart.kind", 1, 2, 3)


def test_make_with_an_error_of_tradewinds_own_lets_it_through() -> None:
    def refuse() -> Wheel:
        raise ConflictError("it is taken")

    with pytest.raises(ConflictError, match="it is taken"):
        CLASSES.make(refuse, "kind")


def test_closed_doors_with_names_of_others_import_nothing_but_what_is_listed(
    tmp_path: Path, write: Write
) -> None:
    write("shop", MODULE)
    write("boom", "raise AssertionError('imported')")
    announce(tmp_path, "one", wooden="shop:Wooden", boom="boom:Wheel")
    with closed_doors(["shop:Fast", "wooden"], "settings.parts"):
        assert CLASSES.find("spare", "kind") is Spare
        assert CLASSES.find("shop:Fast", "kind").__name__ == "Fast"
        assert CLASSES.find("wooden", "kind").__name__ == "Wooden"
        for stranger in ("boom", "boom:Wheel", "shop:Wooden", "os:path"):
            with pytest.raises(ComponentError, match=r"only where .* list it \(settings.parts\)"):
                CLASSES.find(stranger, "kind")
    assert "boom" not in sys.modules
