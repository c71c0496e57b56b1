from pathlib import Path

import pytest

from inference_service.settings import InferenceSettings
from inference_service.watching.version_rule import VersionRule
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
        ({"keep_awake": True}, "keep_awake needs pin_cpus"),
        ({"loader": {"memory_mb": 1}}, "loader.memory_mb"),
        ({"policies": {"../x": {}}}, "policies: .*policy name is refused"),
        ({"policies": {"x": {"versions": "some"}}}, "policies.x.versions"),
        ({"policies": {"x": {"labels": {"served": "2026-11-22.1"}}}}, "label is refused"),
        ({"policies": {"x": {"labels": {"a": "latest"}}}}, "bundle version is refused"),
        ({"max_streams": 16}, "max_streams is 16, which leaves no other call any of the 16"),
        ({"max_loaded_mb": 0}, "max_loaded_mb"),
        ({"stores": "x"}, "stores: Extra inputs"),
    ],
)
def test_settings_with_a_bad_value_are_refused(values: dict[str, object], cause: str) -> None:
    with pytest.raises(SettingsError, match=cause):
        parse_settings(values, InferenceSettings)


def test_rule_of_a_policy_takes_what_is_set_for_it_first() -> None:
    settings = parse_settings(
        {
            "kept_versions": 5,
            "pinned": {"b": "2026-11-22.1"},
            "policies": {
                "a": {"versions": "all", "labels": {"champion": "2026-11-22.2"}},
                "b": {"kept_versions": 3},
            },
        },
        InferenceSettings,
    )
    assert settings.rule_of("a") == VersionRule(
        keep_all=True, kept_versions=5, labels={"champion": "2026-11-22.2"}
    )
    assert settings.rule_of("b") == VersionRule(pinned="2026-11-22.1", kept_versions=3)
    assert settings.rule_of("c") == VersionRule(kept_versions=5)
