"""YAML that would hold up its reader is refused; what people write is read as before."""

import itertools

import pytest
import yaml

from tradewind.bounded_yaml import compose_bounded
from tradewind.errors import SettingsError
from tradewind.settings import parse_yaml

LETTERS = "abcdefghijklm"


def levels(first: str, form: str) -> str:
    """Each level stands for the one above it nine times."""
    lines = [f"a: &a {first}"]
    for above, name in itertools.pairwise(LETTERS):
        lines.append(f"{name}: &{name} " + form % ",".join([f"*{above}"] * 9))
    return "\n".join(lines)


BOMBS = {
    "billion laughs": (levels("[x]", "[%s]"), "those behind aliases counted"),
    "merged maps": (levels("{k: 1}", "{<<: [%s]}"), "those behind aliases counted"),
    "an alias within its anchor": ("rules: &all [*all]", "part of"),
    "an alias of nothing": ("rules: *all", "stands for nothing"),
    "brackets": ("a: " + "[" * 500_000, "nested more than 64"),
    "dashes": ("- " * 300_000, "nested more than 64"),
    "complex keys": ("? " * 300_000, "nested more than 64"),
    "base sixty": ("a: 1" + ":1" * 400_000, "more than 4096 characters"),
    "base sixty in quotes": (f'a: !!int "1{":1" * 400_000}"', "more than 4096 characters"),
    "digits": ("a: " + "1" * 900_000, "more than 4096 characters"),
    "a float of base sixty": ("a: 1" + ":1" * 2_000 + ".5", "cannot be read"),
    "no date": ("a: 2026-99-99", "cannot be read"),
    "an object": ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
    "not UTF-8": (b"a: \xff", "cannot read bomb"),
}


@pytest.mark.parametrize(("text", "problem"), BOMBS.values(), ids=BOMBS)
def test_yaml_that_is_a_bomb_is_refused_with_its_kind(text: str | bytes, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        parse_yaml(text, "bomb")


def test_yaml_with_anchors_as_people_use_them_is_read_as_yaml_reads_it() -> None:
    text = "base: &base {a: 1, b: [2, 3]}\nmore: {<<: *base, c: 4}\nagain: [*base, *base]\n"
    assert compose_bounded(text)[1] == yaml.safe_load(text)
    assert compose_bounded("")[1] is None
