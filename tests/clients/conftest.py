"""A real inference service for callers of other languages."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tradewind.rpc import ServiceProcess

ROOT = Path(__file__).parents[2]
STORE = ROOT / "tests" / "contract" / "bundle" / "store_v1"


@pytest.fixture(scope="session")
def inference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address, `HOST:PORT`."""
    folder = tmp_path_factory.mktemp("inference")
    shutil.copytree(STORE, folder / "store")
    arguments = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    arguments += ["--store", str(folder / "store")]
    process = ServiceProcess("inference_service", arguments, log=folder / "log")
    try:
        yield process.address
    finally:
        process.stop()


@pytest.fixture(scope="session")
def envoy() -> Path:
    """Envoy's program."""
    command = [sys.executable, str(ROOT / "tools" / "side_environments.py"), "envoy"]
    subprocess.run(command, check=True)
    return ROOT / ".venv-envoy" / "bin" / "envoy"
