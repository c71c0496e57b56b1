"""The command line of every program: a file, flags over it, and exit codes."""

from pathlib import Path

import pytest

from tradewind.errors import UnavailableError
from tradewind.process.command import Flag, process_flags, run_program
from tradewind.settings import Settings


class Own(Settings):
    color: str = "red"


class Toy(Settings):
    size: int = 1
    own: Own = Own()
    names: tuple[str, ...] = ()


FLAGS = (
    Flag("--size", "size", "how large it is", "N"),
    Flag("--color", "own.color", "how it looks", "NAME"),
    Flag("--name", "names", "may be repeated", "NAME", repeated=True),
)


def run(*arguments: str, needs_file: bool = False) -> tuple[int, list[Toy]]:
    ran: list[Toy] = []
    code = run_program("toy", "A toy.", Toy, ran.append, FLAGS, arguments, needs_file=needs_file)
    return code, ran


def test_program_with_flags_puts_them_over_its_file(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text("size: 2\nown: {color: blue}\nnames: [a]\n")
    file = ("--config", str(tmp_path / "toy.yaml"))
    assert run(*file) == (0, [Toy(size=2, own=Own(color="blue"), names=("a",))])
    flags = ("--color", "green", "--name", "b", "--name", "c")
    assert run(*file, *flags) == (0, [Toy(size=2, own=Own(color="green"), names=("b", "c"))])
    assert run("--size", "3") == (0, [Toy(size=3)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--size", "large"), "toy: command line is refused: size: "),
        (("--config", "nowhere.yaml"), "toy: cannot read nowhere.yaml: "),
    ],
)
def test_program_with_settings_that_are_refused_does_not_run(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == (2, [])
    assert capsys.readouterr().err.startswith(said)


def test_program_that_needs_a_file_is_refused_without(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("--size", "3", needs_file=True)
    assert "required: --config" in capsys.readouterr().err


def test_program_that_fails_on_purpose_ends_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: Toy) -> None:
        raise UnavailableError("nobody is there")

    assert run_program("toy", "A toy.", Toy, fail, FLAGS, []) == 1
    assert [(it.name, it.getMessage()) for it in caplog.records] == [("toy", "nobody is there")]


def test_flags_of_every_program_stand_under_its_own_keys() -> None:
    assert [flag.key for flag in process_flags("server.")] == [
        f"server.{flag.key}" for flag in process_flags()
    ]
