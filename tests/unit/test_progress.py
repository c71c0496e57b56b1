"""What progress is drawn as, and that drawing it never ends the work."""

import io
import os
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tradewind.jobs import TrainingPhase, TrainingProgress
from tradewind.reporting.progress import QUIET, TrainingBar, WorkBar, progress_console

REPORT = TrainingProgress(
    TrainingPhase.TRAINING, 50, 100, steps_per_second=1234.0, metrics={"risk/score": 0.5}
)
MARKUP = "[bold]BTC</td>"  # a name that means something to what draws


def drawn_at(width: int) -> str:
    stream = io.StringIO()
    with TrainingBar(Console(file=stream, force_terminal=True, width=width), MARKUP) as bar:
        bar.update(REPORT, MARKUP)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())


@pytest.mark.parametrize("width", [20, 100])
def test_bar_on_a_terminal_fits_its_width_and_takes_names_as_they_are(width: int) -> None:
    lines = re.split(r"[\r\n]+", drawn_at(width))
    assert max(map(len, lines)) <= width
    assert MARKUP in drawn_at(width)


def test_bar_without_a_terminal_is_one_line_of_fields_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as CI jobs set it
    with TrainingBar(progress_console()) as bar:
        bar.update(REPORT, MARKUP)
    printed = capsys.readouterr()
    assert printed.out == ""
    fields = 'figures="1,234 steps/s  risk score 0.50"'
    assert printed.err.startswith(f'progress doing="{MARKUP}" done=50 total=100 {fields} elapsed_s')
    assert printed.err.count("\n") == 1


def test_bar_when_quiet_draws_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(QUIET, "1")
    with WorkBar(progress_console(), "x") as bar:
        bar.show(done=1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_bar_whose_reader_has_gone_does_not_end_the_work(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    read, write = os.pipe()
    os.close(read)

    class Stream(io.TextIOWrapper):
        def isatty(self) -> bool:
            return terminal

    stream = Stream(os.fdopen(write, "wb"), line_buffering=True)
    monkeypatch.setattr(sys, "stderr", stream)
    done = 0
    with WorkBar(progress_console(), "x", 2) as bar:
        for done in (1, 2):
            bar.show(done=done)
    assert done == 2
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_bar_without_standard_error_draws_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with WorkBar(progress_console(), "x") as bar:
        bar.show(done=1)
    assert capsys.readouterr().out == ""  # it is no stand-in for what is missing


def test_bar_in_a_notebook_updates_one_output_and_prints_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, str]] = []

    def display(data: dict[str, str], **_: Any) -> SimpleNamespace:
        shown.append(data)
        return SimpleNamespace(update=lambda data, **_: shown.append(data))

    monkeypatch.setenv("FORCE_COLOR", "1")  # as ipykernel sets it
    for name, attribute, value in (
        ("IPython", "get_ipython", lambda: SimpleNamespace(kernel=object())),
        ("IPython.display", "display", display),
    ):
        module = ModuleType(name)
        setattr(module, attribute, value)
        monkeypatch.setitem(sys.modules, name, module)
    with TrainingBar(progress_console()) as bar:
        bar.update(REPORT)
    assert shown[-1]["text/plain"].startswith("training  50 %  1,234 steps/s")
    assert capsys.readouterr() == ("", "")
