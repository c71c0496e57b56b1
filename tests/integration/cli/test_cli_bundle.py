"""`tradewind train`, `bundle` and `slo` on a bundle of this machine."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import save_short_bars
from tradewind.bundle import read_bundle

Run = Callable[..., Any]


@pytest.fixture
def broken(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle whose network has one byte changed."""
    folder = tmp_path / "store" / bundle.parent.name / bundle.name
    shutil.copytree(bundle, folder)
    network = folder / "policy.pt"
    network.chmod(0o644)
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 1
    network.write_bytes(data)
    return folder


def test_train_with_json_prints_the_bundle_and_nothing_else(
    run: Run, tiny_config: Path, tmp_path: Path
) -> None:
    outcome = run("train", tiny_config, "--store", tmp_path, "--policy", "other", "--json")
    assert outcome.code == 0
    metadata = read_bundle(Path(outcome.document["bundle"])).metadata
    assert outcome.document["bundle_sha256"] == metadata.sha256
    assert outcome.document["evaluation"] == dict(metadata.evaluation)


def test_train_with_an_unknown_key_is_refused_before_training(run: Run, tiny_config: Path) -> None:
    outcome = run("train", tiny_config, "--set", "algo_params.learning_rat=0.1")
    assert outcome.code == 2
    assert "algo_params.learning_rat" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("assignment", ["seed", "=1", "algorithm.name=x", "a={", "a=2026-13-01"])
def test_train_with_a_bad_assignment_says_so(run: Run, tiny_config: Path, assignment: str) -> None:
    outcome = run("train", tiny_config, "--set", assignment, "--json")
    assert outcome.code == 2
    assert outcome.document["error"]["violations"][0]["field"] == "--set"


def test_bundle_list_with_a_broken_bundle_says_which(run: Run, bundle: Path, broken: Path) -> None:
    good = run("bundle", "list", bundle.parents[1], "--json").document["bundles"]
    assert [(row["policy"], row["version"]) for row in good] == [("tiny", bundle.name)]
    assert "problem" not in good[0]
    (bad,) = run("bundle", "list", broken.parents[1], "--json").document["bundles"]
    assert bad["reason"] == "DIGEST_MISMATCH"
    assert "DIGEST" in bad["reason"]
    assert "policy.pt" in run("bundle", "list", broken.parents[1]).out


def test_bundle_show_with_json_prints_the_metadata_file(run: Run, bundle: Path) -> None:
    shown = run("bundle", "show", bundle, "--json").document
    assert shown == json.loads((bundle / "metadata.json").read_bytes())
    assert read_bundle(bundle).metadata.sha256 in run("bundle", "show", bundle).out


def test_bundle_verify_with_a_good_bundle_names_its_runtime(run: Run, bundle: Path) -> None:
    outcome = run("bundle", "verify", bundle, "--json")
    assert outcome.code == 0
    assert outcome.document["runtime"] == "compiled"
    assert outcome.document["golden_observations"] > 0


def test_bundle_verify_with_a_changed_byte_fails(run: Run, broken: Path) -> None:
    outcome = run("bundle", "verify", broken, "--json")
    assert outcome.code == 1
    assert outcome.document["error"]["metadata"]["file"] == "policy.pt"


def test_bundle_verify_with_no_bundle_is_not_found(run: Run, tmp_path: Path) -> None:
    outcome = run("bundle", "verify", tmp_path / "tiny" / "2026-01-01.1")
    assert outcome.code == 3
    assert "2026-01-01.1" in outcome.err


def test_evaluate_with_the_bars_it_was_published_with_gives_the_same_figures(
    run: Run, bundle: Path
) -> None:
    outcome = run("evaluate", bundle, "--fraction", "0.02", "--json")
    assert outcome.code == 0
    published = read_bundle(bundle).metadata.evaluation
    again = outcome.document["evaluation"]
    for name in ("return", "max_drawdown", "trades", "buy_and_hold_return"):
        assert again[name] == published[name]


def test_evaluate_with_other_bars_gives_other_figures(run: Run, bundle: Path) -> None:
    outcome = run("evaluate", bundle, "--symbol", "ETH", "--fraction", "0.05")
    assert outcome.code == 0
    assert "buy_and_hold" in outcome.out
    assert run("evaluate", bundle, "--fraction", "0").code == 2
    assert run("evaluate", bundle, "--symbol", "NOTHING").code == 2


def test_walk_forward_with_a_configuration_sums_up_its_folds_and_writes_a_page(
    run: Run, tiny_config: Path, tmp_path: Path
) -> None:
    page = tmp_path / "new" / "page.html"
    bars = save_short_bars(tmp_path / "bars.parquet")
    command = ("walk-forward", tiny_config, "--set", f"data.path={bars}", "--folds", "2")
    outcome = run(*command, "--json", "--report", page)
    assert outcome.code == 0
    assert outcome.document["report"] == str(page)
    assert "<h1>Walk-forward: PPO on BTC</h1>" in page.read_text()
    assert len(outcome.document["folds"]) == 2
    assert outcome.document["summary"]["folds"] == 2


def test_slo_with_a_bundle_judges_the_percentile_asked_for(run: Run, bundle: Path) -> None:
    outcome = run("slo", bundle, "--trials", "200", "--slo-us", "1e9", "--json")
    assert outcome.code == 0
    (report,) = outcome.document["reports"]
    assert report["calls"] == 200
    assert 0 < report["p50_us"] <= report["p999_us"]
    missed = run("slo", bundle, "--trials", "50", "--slo-us", "1e-6", "--percentile", "p50")
    assert missed.code == 1
    assert "MISSED" in missed.out


def test_slo_with_neither_bundle_nor_address_is_refused(run: Run) -> None:
    assert run("slo").code == 2
    assert run("slo", "x", "--address", "127.0.0.1:1").code == 2


def test_slo_with_a_running_service_reports_what_it_measured(
    run: Run, bundle: Path, start_service: Callable[..., Any]
) -> None:
    from tradewind.rpc.clients import InferenceClient

    service = start_service("inference_service", "--store", str(bundle.parents[1]))
    assert run("slo", "--address", service.address).code == 3
    observations = read_bundle(bundle).golden.observations
    with InferenceClient(service.address) as client:
        client.predict_batch(observations)  # all that the orchestrator sends
        (batches,) = run("slo", "--address", service.address, "--json").document["reports"]
        for _ in range(3):
            client.predict(observations[0])
        client.predict_batch(observations)
    single, batches = run("slo", "--address", service.address, "--json").document["reports"]
    assert (single["policy"], single["call"], single["calls"]) == ("tiny", "single", 3)
    assert (batches["policy"], batches["call"], batches["calls"]) == ("tiny", "batch", 2)


def test_command_line_with_help_answers_without_the_training_libraries() -> None:
    code = (
        "import sys\nfrom tradewind_cli.__main__ import main\nmain(['--help'])\n"
        "assert not {'torch', 'stable_baselines3', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_command_line_with_an_unknown_command_is_refused(run: Run) -> None:
    assert run("trian").code == 2


def test_bundle_signed_on_the_command_line_verifies_with_its_key_alone(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "store" / bundle.parent.name / bundle.name
    shutil.copytree(bundle, folder)
    made = run("bundle", "keygen", tmp_path / "signing.key", "--json")
    assert made.code == 0
    assert run("bundle", "keygen", tmp_path / "other.key").code == 0
    ours, other = tmp_path / "signing.key.pub", tmp_path / "other.key.pub"
    assert run("bundle", "verify", folder, "--key", ours).code == 1
    signed = run("bundle", "sign", folder, "--key", tmp_path / "signing.key", "--json")
    assert signed.document["key_id"] == made.document["key_id"]
    verified = run("bundle", "verify", folder, "--key", ours, "--json")
    assert verified.document["signature"]["signer"] == "signing"
    assert run("bundle", "verify", folder, "--key", other, "--key", ours).code == 0
    refused = run("bundle", "verify", folder, "--key", other)
    assert refused.code == 1
    assert "is not the signature of a trusted key" in refused.err
    assert run("bundle", "keygen", tmp_path / "signing.key").code != 0

    key = ("--key", tmp_path / "other.key", "--json")
    named = run("bundle", "freshness", tmp_path / "store", *key)
    assert named.document["newest"] == [f"{bundle.parent.name}/{bundle.name}"]
    revoked = run(
        "bundle", "freshness", tmp_path / "store", "--revoke-key", made.document["key_id"], *key
    )
    assert revoked.document["number"] == 2
    assert revoked.document["revoked_keys"] == [made.document["key_id"]]
    bad = run("bundle", "freshness", tmp_path / "store", "--withdraw", "yesterday", *key)
    assert bad.code == 2
    assert "'yesterday' is not POLICY/VERSION" in bad.document["error"]["message"]
