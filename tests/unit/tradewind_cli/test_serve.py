"""`tradewind serve` gives its command line on as it is."""

import os
import sys

import pytest

from tradewind_cli.__main__ import main

MODULES = {
    "trainer": "trainer_service",
    "inference": "inference_service",
    "risk": "risk_service",
    "orchestrator": "orchestrator",
}


class BecameError(Exception):
    """Another program runs in the place of this one."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    programs: list[tuple[str, list[str]]] = []

    def execv(path: str, command: list[str]) -> None:
        programs.append((path, command))
        raise BecameError

    monkeypatch.setattr(os, "execv", execv)
    return programs


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "config/x.yaml", "--listen", "127.0.0.1:0", "--listen", "unix:/x"],
        ["--help"],
        ["--version", "-h", "--unknown=1", "stray"],
        [],
    ],
)
def test_serve_becomes_the_program_with_all_of_its_flags(
    name: str, arguments: list[str], became: list[tuple[str, list[str]]]
) -> None:
    with pytest.raises(BecameError):
        main(["serve", name, *arguments])
    assert became == [(sys.executable, [sys.executable, "-m", MODULES[name], *arguments])]


def test_serve_with_something_else_is_refused(became: list[tuple[str, list[str]]]) -> None:
    assert main(["serve", "everything"]) == 2
    assert became == []
