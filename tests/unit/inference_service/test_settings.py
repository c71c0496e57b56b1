from pathlib import Path

import pytest

from inference_service.settings import InferenceSettings
from tradewind.errors import SettingsError
from tradewind.settings import load_settings, parse_settings

CONFIG = Path(__file__).parents[3] / "config" / "inference.yaml"


def test_shipped_config_says_what_the_defaults_are() -> None:
    assert load_settings(CONFIG, InferenceSettings) == InferenceSettings()


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"pinned": {"../x": "2026-11-22.1"}}, "pinned: .*policy name is refused"),
        ({"pinned": {"x": "latest"}}, "pinned: .*bundle version is refused"),
        ({"poll_s": 0}, "poll_s: .*greater than 0"),
        ({"slo_us": -1}, "slo_us"),
        ({"kept_versions": 0}, "kept_versions"),
        ({"workers": 0}, "workers: .*greater than or equal to 1"),
        ({"workers": 2, "server": {"listen": ["unix:/x"]}}, r"unix:/x needs \{worker\}"),
        ({"server": {"listen": ["unix:/x{worker}"]}}, "only then"),
        ({"loader": {"memory_mb": 1}}, "loader.memory_mb"),
        ({"stores": "x"}, "stores: Extra inputs"),
    ],
)
def test_settings_with_a_bad_value_are_refused(values: dict[str, object], cause: str) -> None:
    with pytest.raises(SettingsError, match=cause):
        parse_settings(values, InferenceSettings)
