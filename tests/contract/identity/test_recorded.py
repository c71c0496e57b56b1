"""No digest, default or formula changes without a version that says so."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.identity.make import record

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text())
KINDS = ("calculators", "features", "trading")
CURE = "raise the version of the part, and record it with make.py beside this file"


@pytest.fixture(scope="module")
def present() -> dict[str, Any]:
    return record()


def test_digests_of_what_is_shipped_are_those_that_were_recorded(present: dict[str, Any]) -> None:
    assert present["digests"] == RECORDED["digests"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_recorded_in_its_version(kind: str, present: dict[str, Any]) -> None:
    assert present[kind].keys() <= RECORDED[kind].keys(), CURE
    names = {key.partition("@")[0] for key in present[kind]}
    assert {key.partition("@")[0] for key in RECORDED[kind]} <= names


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_of_a_version_stay_as_they_were_recorded(
    kind: str, present: dict[str, Any]
) -> None:
    for key in present[kind].keys() & RECORDED[kind].keys():
        was, now = (side[kind][key]["defaults"] for side in (RECORDED, present))
        assert {name: now.get(name) for name in was} == was, f"{key}: {CURE}"


@pytest.mark.parametrize("kind", ["calculators", "features"])
def test_formulas_of_a_version_give_what_was_recorded(kind: str, present: dict[str, Any]) -> None:
    for key in present[kind].keys() & RECORDED[kind].keys():
        was, now = (side[kind][key]["values"] for side in (RECORDED, present))
        assert None not in was.values(), f"{key} calculates nothing of these inputs"
        expected = pytest.approx(was, rel=1e-9, abs=1e-12)
        assert {name: now.get(name) for name in was} == expected, f"{key}: {CURE}"
