"""The npm package, packed, installed and used: real answers, refusals with their details."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has the packed package installed."""
    folder = tmp_path_factory.mktemp("node")
    pack = ["npm", "pack", "--silent", "--pack-destination", str(folder)]
    subprocess.run(pack, cwd=ROOT / "clients" / "node", check=True, capture_output=True)
    (packed,) = folder.glob("*.tgz")
    (folder / "package.json").write_text("{}")
    flags = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(["npm", "install", *flags, str(packed)], cwd=folder, check=True)
    return folder


def run(project: Path, script: str) -> Any:
    begun = "const {connect, contracts} = require('tradewind-client'); (async () => {"
    ended = "})().catch(error => { console.error(error); process.exit(1); });"
    done = subprocess.run(
        ["node", "-e", begun + script + ended],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_node_client_with_the_packed_package_predicts(project: Path, inference: str) -> None:
    answer = run(
        project,
        f"""
        const inference = connect('inference', '{inference}');
        const values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        const one = await inference.Predict({{policy: 'tiny-dqn', values: {{values}}}});
        const bytes = Buffer.from(Float32Array.from(values).buffer);
        const same = await inference.Predict({{policy: 'tiny-dqn', values_f32_le: bytes}});
        console.log(JSON.stringify([one, same])); inference.close();
        """,
    )
    one, same = answer
    assert one["action"] == "discrete"
    assert one["discrete"] == same["discrete"]
    assert int(one["model_compute_ns"]) > 0
    assert one["version"] == "2026-11-22.1"


def test_node_client_with_a_wrong_shape_learns_reason_and_field(
    project: Path, inference: str
) -> None:
    refused = run(
        project,
        f"""
        const inference = connect('inference', '{inference}');
        try {{ await inference.Predict({{policy: 'tiny-dqn', values: {{values: [1]}}}}); }}
        catch (error) {{ console.log(JSON.stringify([error.code, error.tradewind])); }}
        inference.close();
        """,
    )
    code, details = refused
    assert code == 3  # INVALID_ARGUMENT
    assert details["reason"] == "INVALID_OBSERVATION"
    (violation,) = details["violations"]
    assert violation["field"].startswith("values")
    assert "6" in violation["description"]


def test_node_client_with_a_token_and_a_remote_address_sends_nothing(project: Path) -> None:
    said = run(
        project,
        """
        try { connect('risk', '10.0.0.1:50053', {token: 'x'}); }
        catch (error) { console.log(JSON.stringify(error.message)); }
        """,
    )
    assert "may be another machine" in said
