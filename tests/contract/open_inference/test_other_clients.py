"""The unmodified clients of KServe and MLServer against the real server."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tradewind.bundle import BundleDraft, BundleStore
from tradewind.rpc import ServiceProcess

POLICIES = ("tiny-dqn", "tiny-sac")


@pytest.mark.parametrize("client", ["kserve", "mlserver"])
def test_client_with_our_server_gets_the_golden_answers_either_way(
    client: str,
    python_with: Callable[[str], str],
    tmp_path: Path,
    start_service: Callable[..., ServiceProcess],
    released_draft: Callable[..., BundleDraft],
) -> None:
    python = python_with(client)
    store = BundleStore(tmp_path / "store")
    drafts = {name: released_draft(name) for name in POLICIES}
    versions = {name: store.publish(draft).metadata.version for name, draft in drafts.items()}
    observations = {name: draft.golden.observations for name, draft in drafts.items()}
    np.savez(tmp_path / "observations.npz", allow_pickle=False, **observations)
    server = start_service("inference_service", "--store", str(store.root))

    session = Path(__file__).with_name(f"{client}_session.py")
    command = [python, str(session), server.address, str(tmp_path / "observations.npz")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])

    assert told["live"]
    assert told["ready"]
    assert told["models_ready"] == dict.fromkeys(POLICIES, True)
    assert set(told["answers"]) == {f"{p}/{way}" for p in POLICIES for way in ("binary", "listed")}
    for name, answer in told["answers"].items():
        policy, _, _ = name.partition("/")
        golden = drafts[policy].golden
        assert (answer["id"], answer["version"]) == ("order-1", versions[policy])
        np.testing.assert_allclose(
            np.reshape(answer["action"], golden.actions.shape), golden.actions, atol=1e-5
        )
        np.testing.assert_allclose(
            np.reshape(answer["distribution"], golden.distribution.shape),
            golden.distribution,
            atol=1e-5,
        )
