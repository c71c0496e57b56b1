"""The README runs as written, from top to bottom, in one directory; pages of docs/ go on there."""

import re
from pathlib import Path

import pytest

from tests.pages import ROOT, Block, blocks_of, run_blocks
from tests.ports import free_ports

README = (ROOT / "README.md").read_text()
# In the session of the README, one after the other: with its services, bundles and decision log.
PAGES_AFTER = (
    "docs/guides/markets.md",
    "docs/guides/instruments.md",
    "docs/guides/training.md",
    "docs/guides/evaluation.md",
)
# By tests of their own.
RUN_ELSEWHERE = {
    "docs/start/walkthrough.md": "test_walkthrough.py",
    "docs/guides/clients.md": "test_clients_page.py",
    "docs/extending/": "tests/unit/test_extending_pages.py",
}
CONTAINERS = "wants a container engine: tests/compose"
CLUSTER = "wants a cluster: tests/kubernetes"
ENVOY = "wants Envoy: tests/clients"
# What is not run: the first lines of a page's blocks, and why.
NOT_RUN = {
    "README.md": {
        "make demo": "a step of .ci/run",
        "make test": "this is one of those tests",
        "make load": "wants the machine for itself, for a minute: tests/load",
        "make faults": "wants the machine for itself: a step of .ci/run",
    },
    "docs/guides/compare.md": {
        "from orchestrator.analysis.comparison import (": "wants two variants that have traded",
    },
    "docs/guides/data.md": {
        "from tradewind.market import load_bars": "a file of one's own: tests/integration/cli",
    },
    "docs/guides/live-view.md": {
        "python -m orchestrator": "trades with a page: tests/integration/orchestrator",
    },
    "docs/guides/training-jobs.md": {
        "from trainer_service.training.agent": "100,000 steps: tests/integration/trainer",
    },
    "docs/guides/training.md": {
        "tradewind train config/training/ppo_panel.yaml": "minutes: tests/integration/trainer",
        "trainer = create_trainer_agent(": "a piece of what docs/extending/extractor.md runs",
    },
    "docs/operations/deployment.md": {
        "make wheels": CONTAINERS,
        "PIP_EXTRA_INDEX_URL=": CONTAINERS,
        "docker compose cp keys:": CONTAINERS,
        "export POSTGRES_PASSWORD=": CONTAINERS,
        "docker compose cp config/routing.yaml": CONTAINERS,
        "docker compose -f docker-compose.yml -f docker-compose.gpu.yml": "wants a GPU",
    },
    "docs/operations/inference-service.md": {
        "from tradewind.bundle import BundleStore": "names versions that somebody chose",
    },
    "docs/operations/kubernetes.md": {
        "tradewind bundle keygen signing.key": CLUSTER,
        "kubectl --namespace tradewind exec": CLUSTER,
        "make kubernetes-check": "a step of .ci/run",
    },
    "docs/operations/load-tests.md": {
        ".venv/bin/python -m locust": "wants the machine for itself: tests/load",
    },
    "docs/operations/observability.md": {
        "docker compose --profile observability": CONTAINERS,
        "make monitoring-check": "a step of .ci/run",
        "from tradewind.logs import log_context": "a frame for code of one's own",
        ".venv/bin/python examples/print_traces.py &": "tests/integration/tracing",
        "import numpy as np": "wants the collector above: tests/integration/tracing",
    },
    "docs/operations/scaling.md": {
        "python -m inference_service": "tests/integration/rpc has several servers",
        "from tradewind.rpc.clients import InferenceClient": "wants the servers above",
        "python tools/side_environments.py envoy": ENVOY,
        "python examples/two_replicas.py": ENVOY,
    },
    "docs/operations/security.md": {
        "make certs": "tests/integration/security makes certificates",
        "from pathlib import Path": "names hosts of a network: tests/integration/security",
        "make audit": "a step of .ci/run",
    },
    "docs/reference/bundle.md": {
        "import json\nimport math": "tests/contract/bundle_portability",
        "import torch": "in a folder of a bundle: tests/contract/bundle_portability",
        "import base64, hashlib, json": "in a folder of a signed bundle: tests/unit/bundle",
        ".venv/bin/python -m inference_service": "as in the README",
        "from tradewind.policy import load_sealed_policy": "tests/integration/security",
    },
    "docs/reference/decision-log.md": {
        "from orchestrator.decision_log import DecisionLog": "a list of what can be asked for",
    },
    "docs/reference/open-inference.md": {
        "python tools/side_environments.py tritonclient": "a step of .ci/run",
        "import numpy as np": "in the environment above: tests/contract",
        "python examples/envoy/open_inference_rest.py": ENVOY,
        "curl 127.0.0.1:8080/v2/models/btc-dqn/infer": ENVOY,
    },
}
# Fewer steps and bars than the shipped settings say, so that it takes a minute.
SMALLER = {
    "total_timesteps: 61440": "total_timesteps: 4096",
    "feed: {kind: sample, held_out_fraction: 0.2,": "feed: {kind: sample, held_out_fraction: 0.02,",
}
PORTS = ("50051", "50052", "50053", "9101", "9102", "9103")


def reason_not_to_run(page: str, block: Block) -> str | None:
    """Why a block is not run, by the first line that it begins with."""
    reasons = NOT_RUN.get(page, {})
    (*_, reason) = (None, *(why for line, why in reasons.items() if block.text.startswith(line)))
    return reason


def to_run(page: str) -> list[Block]:
    return [block for block in blocks_of(page) if reason_not_to_run(page, block) is None]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_readme_with_its_blocks_in_order_runs_as_written(tmp_path: Path) -> None:
    free = zip(PORTS, free_ports(len(PORTS)), strict=True)
    changes = {f"127.0.0.1:{port}": f"127.0.0.1:{other}" for port, other in free}
    blocks = [block for page in ("README.md", *PAGES_AFTER) for block in to_run(page)]
    said = run_blocks(blocks, tmp_path, changes | SMALLER, timeout_s=850.0)
    assert "btc-dqn/20" in said
    assert "btc-ppo" in said

    # Trade traded what Train trained: it decided but for the bars that warm the features up, and
    # those at which the risk policy said no, or the machine had too much else to do.
    (traded,) = re.findall(r"^orchestrator default: equity .*; (.*)$", said, re.MULTILINE)
    counted = dict(re.findall(r"(\w+) ([\d,]+)", traded))
    figures = {name: int(count.replace(",", "")) for name, count in counted.items()}
    assert figures["bars"] > 1_000, traded
    assert figures["decided_ticks"] > figures["ticks"] / 2, traded
    assert list((tmp_path / "runs/orchestrator/log").iterdir())


def test_pages_with_blocks_that_nobody_runs_say_why() -> None:
    pages = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    for page in pages:
        if not page.startswith((*PAGES_AFTER, *RUN_ELSEWHERE)):
            assert [(each.where, each.text) for each in to_run(page)] == []
    for page, reasons in NOT_RUN.items():
        texts = [block.text for block in blocks_of(page)]
        gone = [line for line in reasons if not any(text.startswith(line) for text in texts)]
        assert gone == [], page


def test_readme_with_its_make_commands_names_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert {"demo", "test", "bench"} <= named <= targets


def test_readme_with_its_links_names_files_and_headings_that_exist() -> None:
    links = re.findall(r"\]\(([^)#:]*)(#[^)]+)?\)", README)
    assert links
    assert [path for path, _ in links if not (ROOT / path).exists()] == []
    for path, anchor in links:
        if anchor:
            page = (ROOT / (path or "README.md")).read_text()
            headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
            plain = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
            assert anchor[1:] in plain, f"{path}{anchor}"
