"""The unmodified tritonclient against the real server, compared with what Predict answers."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tradewind
from tradewind.bundle import BundleDraft, BundleStore
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTATION = ROOT / "docs" / "reference" / "open-inference.md"
SESSION = Path(__file__).with_name("triton_session.py")
POLICIES = ("tiny-dqn", "tiny-sac")


def test_tritonclient_with_our_server_lists_inspects_and_infers(
    python_with: Callable[[str], str],
    tmp_path: Path,
    start_service: Callable[..., ServiceProcess],
    released_draft: Callable[..., BundleDraft],
) -> None:
    triton_python = python_with("tritonclient")
    store = BundleStore(tmp_path / "store")
    drafts = {name: released_draft(name) for name in POLICIES}
    versions = {name: store.publish(draft).metadata.version for name, draft in drafts.items()}
    observations = {name: draft.golden.observations for name, draft in drafts.items()}
    np.savez(tmp_path / "observations.npz", allow_pickle=False, **observations)
    server = start_service("inference_service", "--store", str(store.root))

    command = [triton_python, str(SESSION), server.address, str(tmp_path / "observations.npz")]
    session = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert session.returncode == 0, session.stderr
    told = json.loads(session.stdout)

    check_descriptions(told, versions)
    with InferenceClient(server.address) as client:
        for name in POLICIES:
            check_answers(told["answers"][name], drafts[name], versions[name], client)
    check_refusals(told)
    actions = told["answers"]["tiny-dqn"]["action"]
    check_extensions(told, versions)
    assert told["asyncio"] == [[action] for action in actions]

    (documented,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert "127.0.0.1:50052" in documented
    documented = documented.replace("127.0.0.1:50052", server.address)
    command = [triton_python, "-c", documented]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert run.returncode == 0, run.stderr


def check_descriptions(told: dict[str, Any], versions: dict[str, str]) -> None:
    assert told["live"]
    assert told["ready"]
    assert told["server"] == {"name": "tradewind", "version": tradewind.__version__}
    assert told["models_ready"] == {"tiny-dqn": True, "tiny-sac": True, "other": False}
    listed = {item["name"]: (item["version"], item["state"]) for item in told["index"]["models"]}
    assert listed == {name: (version, "READY") for name, version in versions.items()}
    assert told["models"]["tiny-dqn"] == {
        "name": "tiny-dqn",
        "versions": [versions["tiny-dqn"]],
        "platform": "pytorch_torchscript",
        "inputs": [{"name": "observation", "datatype": "FP32", "shape": ["-1", "6"]}],
        "outputs": [
            {"name": "action", "datatype": "INT64", "shape": ["-1"]},
            {"name": "distribution", "datatype": "FP32", "shape": ["-1", "3"]},
        ],
    }


def check_answers(
    answer: dict[str, Any], draft: BundleDraft, version: str, client: InferenceClient
) -> None:
    assert (answer["version"], answer["id"]) == (version, "order-1")
    assert answer["action_dtype"] == str(draft.golden.actions.dtype)
    rows = draft.golden.observations
    predicted = np.array([client.predict(row, policy=draft.name).action for row in rows])
    np.testing.assert_allclose(answer["action"], predicted, atol=1e-6)
    np.testing.assert_allclose(answer["compressed"], predicted, atol=1e-6)
    np.testing.assert_allclose(answer["distribution"], draft.golden.distribution, atol=1e-5)
    # Of a batch, only the first row is sampled with the seed itself.
    alone = client.predict(rows[0], policy=draft.name, seed=7)
    np.testing.assert_allclose(answer["sampled"][0], alone.action, atol=1e-6)


def check_extensions(told: dict[str, Any], versions: dict[str, str]) -> None:
    config = told["configs"]["tiny-dqn"]["config"]
    assert config["name"] == "tiny-dqn"
    assert config["input"] == [
        {"name": "observation", "data_type": "TYPE_FP32", "dims": ["-1", "6"]}
    ]
    assert [each["data_type"] for each in config["output"]] == ["TYPE_INT64", "TYPE_FP32"]
    (statistics,) = told["statistics"]["model_stats"]
    assert (statistics["name"], statistics["version"]) == ("tiny-dqn", versions["tiny-dqn"])
    assert int(statistics["inference_count"]) > int(statistics["execution_count"]) > 0
    assert int(statistics["inference_stats"]["compute_infer"]["ns"]) > 0


def check_refusals(told: dict[str, Any]) -> None:
    status, message = told["wrong_shape"]
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "inputs[0].shape" in message
    status, message = told["not_a_number"]
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "raw_input_contents[0]: number 0: nan" in message
    status, message = told["unknown"]
    assert status == "StatusCode.NOT_FOUND"
    assert "served are tiny-dqn, tiny-sac" in message
