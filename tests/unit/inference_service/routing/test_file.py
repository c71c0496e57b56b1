import re
from pathlib import Path

import pytest

from inference_service.routing.file import RoutingFile, Target, parse_routing
from tradewind.errors import InvalidInputError, SettingsError

ROOT = Path(__file__).resolve().parents[4]
GOOD = """\
policies:
  btc:
    variants:
      - {name: steady, target: champion, weight: 90}
      - name: bold
        target: 2026-11-22.1
        weight: 10
        bounds: {model_compute_us: 100, error_share: 0.01, max_drawdown: 0.05}
    shadows:
      - {name: next, target: eth/served}
"""


def read(text: str) -> RoutingFile:
    return parse_routing(text.encode(), "routing.yaml")


def test_good_file_with_percent_gives_shares_and_targets() -> None:
    file = read(GOOD)
    (routing,) = file.settings.policies.values()
    assert routing.champion_name == "steady"
    assert routing.shares == (0.9, 0.1)
    assert file.has_bounds
    assert [target for _, target in file.settings.targets()] == [
        Target("btc", label="champion"),
        Target("btc", version="2026-11-22.1"),
        Target("eth", label="served"),
    ]


def test_files_that_are_shown_as_examples_are_good() -> None:
    page = (ROOT / "docs" / "guides" / "routing.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    for text in (shown, (ROOT / "config" / "routing.yaml").read_text()):
        assert read(text).has_bounds


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            ("weight: 10", "weight: 9"),
            "policies.btc: .* the weights add up to 99 instead",
        ),
        (("weight: 10", "weight: -10"), "policies.btc.variants[1].weight: .* (line 7)"),
        (("weight: 10", "wait: 10"), "policies.btc.variants[1].wait: Extra inputs .* (line 7)"),
        (("name: bold", "name: steady"), "more than one variant or shadow is named steady"),
        (("name: bold", "name: ../x"), "policies.btc.variants[1].name: .* (line 5)"),
        (("    variants", "    champion: none\n    variants"), "'none' is none of the variants"),
        (("    variants", "    champion: bold\n    variants"), "bounds are for challengers"),
        (("2026-11-22.1", "2026-13-01.1"), "policies.btc.variants[1].target: .* (line 6)"),
        (("eth/served", "eth/a/b"), "policies.btc.shadows[0].target: .* (line 10)"),
        (("max_drawdown: 0.05", "max_drawdown: 5"), "bounds.max_drawdown: .* (line 8)"),
        (("policies:", "policy:"), "policy: Extra inputs are not permitted (line 1)"),
        ((GOOD, "- a"), "routing.yaml must be a mapping"),
        ((GOOD, "{"), "routing.yaml is not YAML"),
        ((GOOD, "#" * 1024 * 1024 + "##"), "is larger than"),
    ],
)
def test_bad_file_is_refused_with_what_is_wrong_and_its_line(
    change: tuple[str, str], complaint: str
) -> None:
    pattern = re.escape(complaint).replace(r"\.\*", ".*")
    with pytest.raises(SettingsError, match=pattern):
        read(GOOD.replace(*change))


def test_targets_that_do_not_exist_are_refused_each_with_its_line() -> None:
    with pytest.raises(SettingsError) as refused:
        read(GOOD).check_targets(lambda target: "unknown" if target.policy == "eth" else "")
    (violation,) = refused.value.violations
    assert str(violation) == "policies.btc.shadows[0].target: unknown (line 10)"


@pytest.mark.parametrize("text", ["", "a b", "/x", "x/", "2026-11-22.0", "../x", "a/b/c"])
def test_target_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        Target.parse(text, "btc")
