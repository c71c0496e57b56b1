"""What docs/guides/clients.md shows runs, in its order, against real services."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.pages import ROOT, blocks_of, run_blocks
from tradewind.rpc import ServiceProcess, clients

PAGE = (ROOT / "docs" / "guides" / "clients.md").read_text()


def test_clients_page_with_its_python_blocks_in_order_runs(
    tmp_path: Path, start_service: Callable[..., ServiceProcess]
) -> None:
    flags = {
        "inference_service": ["--store", str(ROOT / "tests/contract/bundle/store_v1")],
        "risk_service": [
            *("--policy", str(ROOT / "config/risk_limits.yaml")),
            *("--database", f"sqlite:///{tmp_path}/audit.sqlite"),
        ],
    }
    defaults = {"inference_service": "127.0.0.1:50052", "risk_service": "127.0.0.1:50053"}
    changes = {
        default: start_service(module, *flags[module]).address
        for module, default in defaults.items()
    }
    folder = tmp_path / "session"
    folder.mkdir()
    said = run_blocks(blocks_of("docs/guides/clients.md"), folder, changes)
    assert "values_f32_le 20 bytes instead of 24" in said


def test_clients_page_with_its_table_names_every_call() -> None:
    kinds = (
        (clients.InferenceClient, clients.AsyncInferenceClient),
        (clients.RiskClient, clients.AsyncRiskClient),
        (clients.TrainerClient, clients.AsyncTrainerClient),
    )
    for blocking, on_asyncio in kinds:
        (row,) = re.findall(rf"\| `{blocking.__name__}` .*", PAGE)
        named = set(re.findall(r"`([a-z_]+)`", row))
        for kind in (blocking, on_asyncio):
            offered = {name for name in vars(kind) if not name.startswith("_")} - {"service"}
            assert named == offered
