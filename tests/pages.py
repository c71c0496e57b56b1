"""Runs the code of documentation as it is written: one directory, one Python session, one page on.

A block of the shell runs in bash where it stands; one that starts a service has the service go on
until the end. `python -m tests.pages` is the session; `run_blocks` starts it.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Block", "blocks_of", "run_blocks"]

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```(python|bash|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SERVICE = re.compile(r"(?:-m |tradewind serve )(?:trainer|inference|risk)(?:_service)?\b")
# `tradewind` and `python` are the ones of the environment, as after its activation.
_SHELL = 'export PATH="$PWD/.venv/bin:$PATH"; set -euo pipefail\n'


@dataclass(frozen=True)
class Block:
    """Code of a page.

    Attributes:
        where: The page and the line, for who looks for what failed.
        language: python, or sh for any shell.
        text: What is between the fences.
    """

    where: str
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page, named from the root of the checkout, in their order."""
    text = (ROOT / page).read_text()
    return [
        Block(
            where=f"{page}:{text.count(chr(10), 0, found.start()) + 1}",
            language="python" if found[1] == "python" else "sh",
            text=found[2],
        )
        for found in _BLOCK.finditer(text)
    ]


def run_blocks(
    blocks: Iterable[Block],
    folder: Path,
    changes: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
) -> str:
    """Runs blocks in a folder, where the checkout's `config`, `examples` and `.venv` are.

    Args:
        blocks: In the order in which they run.
        folder: An empty folder.
        changes: What else stands in blocks and settings than is written, such as free ports.
        timeout_s: For all of them.

    Returns:
        What they printed. A block that fails is an AssertionError with its place and its output.
    """

    def changed(text: str) -> str:
        for before, after in (changes or {}).items():
            text = text.replace(before, after)
        return text

    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "examples").symlink_to(ROOT / "examples")
    for path in (ROOT / "config").rglob("*.*"):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(changed(path.read_text()))
    steps = [asdict(block) | {"text": changed(block.text)} for block in blocks]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (folder / "session.log").open("w+") as log:
        session = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.pages", json.dumps(steps)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ":".join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            session.wait(timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError):  # whatever it has left running
                os.killpg(session.pid, signal.SIGKILL)
            session.wait()
        log.seek(0)
        said = log.read()
    assert session.returncode == 0, said
    return said


def _serve(command: str, services: contextlib.ExitStack) -> None:
    """Starts a service and waits until it says that it is ready."""
    process = subprocess.Popen(
        ["bash", "-c", f"{_SHELL}exec {command}"], stdout=subprocess.PIPE, text=True
    )

    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                print(line, end="")
                if " ready on " in line:
                    ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    services.callback(reader.join)
    services.callback(process.wait)
    services.callback(process.terminate)
    while not ready.wait(0.1):
        if process.poll() is not None:
            raise RuntimeError(f"{command}: ended with {process.returncode}")


def _session(steps: list[dict[str, str]]) -> None:
    started = time.monotonic()
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.ExitStack() as services:
        for step in steps:
            print(f"== {step['where']} after {time.monotonic() - started:.0f} s", flush=True)
            if step["language"] == "python":
                exec(compile(step["text"], step["where"], "exec"), namespace)
                continue
            commands = step["text"].replace("\\\n", " ").strip().splitlines()
            if all(_SERVICE.search(command) for command in commands):
                for command in commands:
                    _serve(command, services)
            else:
                subprocess.run(["bash", "-c", _SHELL + step["text"]], check=True)


if __name__ == "__main__":
    _session(json.loads(sys.argv[1]))
