"""The C++ example, compiled from the contracts as they are published, against a real service."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tradewind.rpc.clients import InferenceClient

ROOT = Path(__file__).parents[2]
NUMBERS = ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]


@pytest.fixture(scope="module")
def predict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled program."""
    subprocess.run([str(ROOT / "tools" / "cpp.sh")], check=True)
    build = tmp_path_factory.mktemp("cpp")
    subprocess.run(["cmake", "-S", str(ROOT / "clients" / "cpp"), "-B", str(build)], check=True)
    subprocess.run(["cmake", "--build", str(build)], check=True)
    return build / "predict"


def call(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("policy", ["tiny-dqn", "tiny-sac"])
def test_cpp_client_with_an_observation_gets_the_action_of_the_python_client(
    predict: Path, inference: str, policy: str
) -> None:
    done = call(predict, inference, policy, *NUMBERS)
    assert done.returncode == 0, done.stderr
    with InferenceClient(inference) as client:
        answer = client.predict(np.array(NUMBERS, dtype=np.float32), policy=policy)
    shown = done.stdout.removeprefix("action ").partition(" version ")[0].split()
    assert np.allclose([float(value) for value in shown], answer.action, rtol=1e-5)
    assert f"version {answer.version} " in done.stdout


def test_cpp_client_with_too_few_numbers_is_told_why(predict: Path, inference: str) -> None:
    done = call(predict, inference, "tiny-dqn", "1")
    assert done.returncode == 1
    assert done.stderr.startswith("status 3: ")  # INVALID_ARGUMENT
    assert "values" in done.stderr
