import importlib.util
from pathlib import Path

import pytest

from orchestrator.settings import OrchestratorSettings
from tradewind.errors import SettingsError
from tradewind.rpc import ServiceSettings
from tradewind.settings import load_settings, parse_settings
from tradewind.tracing import TracingSettings, open_tracer


def test_tracing_without_the_extra_says_how_to_install_it_and_in_which_line_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nothing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    path = tmp_path / "risk.yaml"
    path.write_text("server:\n  listen: 127.0.0.1:0\n  tracing: {}\n")
    with pytest.raises(SettingsError, match=r"server.tracing: .*'tradewind\[tracing\]' \(line 3\)"):
        load_settings(path, ServiceSettings)


@pytest.mark.parametrize(
    "values",
    [
        {"endpoint": "127.0.0.1:4317"},
        {"endpoint": "http://127.0.0.1"},
        {"endpoint": "grpc://127.0.0.1:4317"},
        {"sampled_fraction": 1.5},
        {"ca": "ca.pem"},
        {"end_point": "http://127.0.0.1:4317"},
    ],
)
def test_tracing_with_a_setting_that_cannot_be_is_refused(values: dict[str, object]) -> None:
    allocations = [{"symbol": "BTC", "policy": "p"}]
    with pytest.raises(SettingsError, match="tracing"):
        parse_settings({"allocations": allocations, "tracing": values}, OrchestratorSettings)


def test_tracer_with_certificates_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    settings = TracingSettings(endpoint="https://collector:4317", ca=tmp_path / "absent.pem")
    with pytest.raises(SettingsError, match="absent.pem"):
        open_tracer(settings, "test")
