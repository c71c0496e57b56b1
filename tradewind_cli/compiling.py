"""Compiling kernels ahead: a process for each group, with a word for each."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from tradewind.reporting.progress import WorkBar, progress_console
from tradewind_cli.kernels import GROUPS, missing_groups

__all__ = ["compile_missing"]

_LOOK_S: Final = 0.1


class _Compilation:
    """A process that compiles a group."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._started = time.monotonic()
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-m", "tradewind_cli.kernels", name]
        self.process = subprocess.Popen(command, stdout=self._said, stderr=subprocess.STDOUT)

    def outcome(self) -> str:
        """What became of it, once it has ended."""
        with self._said as said:
            if self.process.returncode == 0:
                return f"compiled in {time.monotonic() - self._started:.0f} s"
            said.seek(0)
            (*_, last) = ("", *said.read().splitlines())
        code = self.process.returncode
        return f"ended with {code}, so they are compiled when they are needed: {last}"


def compile_missing(console: Console, names: Sequence[str] = tuple(GROUPS)) -> None:
    """Compiles what is missing of some groups, one on each core, and says so.

    Nothing is said, and it takes milliseconds, where nothing is missing.
    """
    missing = missing_groups(names)
    if not missing:
        return
    folder = os.path.commonpath(missing.values())
    console.print(
        f"{'kernels':18} {', '.join(missing)}: compiled once on this machine, kept below {folder}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    waiting, running = list(missing), list[_Compilation]()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with WorkBar(console, "compiling", len(missing)) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < (cores or 1):
                    running.append(_Compilation(waiting.pop(0)))
                bar.show(figures=", ".join(each.name for each in running))
                time.sleep(_LOOK_S)
                for ended in [each for each in running if each.process.poll() is not None]:
                    running.remove(ended)
                    bar.show(done=len(missing) - len(waiting) - len(running))
                    console.print(f"{'kernels':18} {ended.name}: {ended.outcome()}", markup=False)
        finally:
            for each in running:
                each.process.terminate()
                each.process.wait()


if __name__ == "__main__":
    compile_missing(progress_console())
