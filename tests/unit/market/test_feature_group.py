"""Groups of features in files of their own: Tradewind's, and what anyone may bring."""

import itertools
import json
import sys
import time
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import Field

from tradewind.components import closed_doors
from tradewind.errors import ComponentError, ObservationError, SettingsError
from tradewind.market import Bars, BarWindow, FeatureGroup, FeaturePipeline, FeatureSpec
from tradewind.market.feature_group import FEATURES, known_groups
from tradewind.market.feature_groups.range_volatility import RangeVolatility
from tradewind.market.features import BUILT_IN_GROUPS
from tradewind.market.group_runner import check_groups
from tradewind.market.testing import check_feature_group
from tradewind.settings import parse_settings

SMALL: dict[str, Any] = {
    "return_count": 2, "volatility_windows": (), "rsi_period": None, "ema_periods": (),
    "vwap_window": None, "time_of_day": False, "position": False,
}  # fmt: skip


class Gap(FeatureGroup):
    """Log ratio of the open to the close before, in percent, and the hour."""

    name: ClassVar[str] = "gap"
    version: ClassVar[int] = 2

    weight: float = Field(default=1.0, gt=0.0)

    @property
    def lookback(self) -> int:
        return 2

    @property
    def component_names(self) -> tuple[str, ...]:
        return (f"gap_{self.weight:g}", "hour")

    def row(self, window: BarWindow) -> Any:
        gap = np.log(window.open[-1] / window.close[-2]) * 100.0 * self.weight
        return [gap, window.timestamps_ns[-1] // 3_600_000_000_000 % 24]


class Broken(Gap):
    """As Gap, with a row that a test chooses."""

    name: ClassVar[str] = "broken"
    answer: ClassVar[Any] = None

    def row(self, window: BarWindow) -> Any:
        return type(self).answer(super().row(window), window)


def broken(answer: Any, **declared: Any) -> FeatureGroup:
    kind = type("Chosen", (Broken,), {"answer": staticmethod(answer), "__module__": __name__})
    for name, value in declared.items():
        setattr(kind, name, value)
    return kind()  # type: ignore[no-any-return]


def test_groups_stand_after_the_built_in_ones_and_are_clipped(btc: Bars) -> None:
    spec = FeatureSpec(**{**SMALL, "position": True}, groups=(Gap(), RangeVolatility(window=5)))
    assert spec.component_names == (
        "log_return_lag_1", "log_return_lag_0", "gap_1", "hour", "range_volatility_5",
        "position_exposure", "position_unrealized_return", "position_holding_time",
    )  # fmt: skip
    assert spec.lookback == 5
    bars = btc.slice(0, 60)
    rows = FeaturePipeline(spec).transform(bars)
    assert np.isnan(rows[:4]).all()
    assert np.isfinite(rows[4:]).all()
    hours = bars.timestamps_ns // 3_600_000_000_000 % 24
    assert rows[4:, 3].tolist() == np.minimum(hours[4:], 10).tolist()
    gaps = np.log(bars.open[1:] / bars.close[:-1]) * 100.0
    assert rows[4:, 2].tolist() == gaps[3:].astype(np.float32).tolist()


@pytest.mark.parametrize(
    "group", [Gap(), Gap(weight=3.0), RangeVolatility(), RangeVolatility(window=1)]
)
def test_group_gives_bar_by_bar_what_it_gives_of_a_series(group: FeatureGroup, btc: Bars) -> None:
    check_feature_group(group)
    check_feature_group(group, btc.slice(500, 900))


def test_every_group_of_tradewind_is_found_by_its_name_and_passes_its_check() -> None:
    assert FEATURES.names() == ("range_volatility", "session")
    for name in FEATURES.names():
        group = FEATURES.find(name, "features")()
        assert group.name == name not in {it.name for it in BUILT_IN_GROUPS}
        check_feature_group(group)


def test_range_volatility_is_parkinsons_formula(btc: Bars) -> None:
    bars = btc.slice(0, 120)
    ranges = np.log(bars.high / bars.low)[-48:]
    expected = np.sqrt((ranges**2).sum() / (4.0 * 48 * np.log(2.0))) * 100.0
    spec = FeatureSpec(groups=(RangeVolatility(),))
    at = spec.component_names.index("range_volatility_48")
    assert FeaturePipeline(spec).transform(bars)[-1, at] == pytest.approx(expected, rel=1e-6)


def test_spec_with_groups_through_a_bundle_is_the_same_and_names_no_code() -> None:
    spec = FeatureSpec(**SMALL, groups=(Gap(weight=2.0), RangeVolatility()))
    recorded = json.loads(json.dumps(spec.model_dump(mode="json")))
    assert recorded["groups"] == [
        {"name": "gap", "version": 2, "options": {"weight": 2.0}},
        {"name": "range_volatility", "version": 1, "options": {"window": 48, "scale": 100.0}},
    ]
    rebuilt = FeatureSpec.read(recorded, known_groups([f"{__name__}:Gap"]))
    assert rebuilt == spec
    assert rebuilt.digest == spec.digest != FeatureSpec(**SMALL).digest
    assert FeatureSpec.read(FeatureSpec().model_dump(mode="json")) == FeatureSpec()
    assert FeatureSpec.model_validate(spec.model_dump()) == spec


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            [{"name": "gap", "version": 2, "options": {}}],
            r"gap@2; it is not known here: .*`features: \[package.module:Attribute\]`",
        ),
        (
            [{"name": "range_volatility", "version": 7, "options": {}}],
            "range_volatility@7; here it is range_volatility@1",
        ),
        ([{"name": "range_volatility", "version": True, "options": {}}], "range_volatility@True"),
        ([{"name": "range_volatility", "version": 1, "options": {"windw": 3}}], "windw"),
        (
            [{"kind": "antigravity:geohash"}],
            "must have name, version and options, and nothing else",
        ),
        ([{"name": ["gap"], "version": 1, "options": {}}], "it is not known here"),
        ([{"name": "range_volatility", "version": 1, "options": [1]}], "options"),
        (["antigravity:geohash"], "must have name, version and options"),
        ("antigravity:geohash", "must be a list of groups, not str"),
        ({"kind": "antigravity:geohash"}, "must be a list of groups, not dict"),
    ],
)
def test_bundle_that_names_an_unknown_group_is_refused_and_imports_nothing(
    groups: Any, said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as refusal:
        FeatureSpec.read({"groups": groups})
    assert "features.groups" in str(refusal.value)
    assert "antigravity" not in sys.modules
    for values in ({"groups": groups}, {"groups": [groups]}):
        with pytest.raises(SettingsError, match="groups"):
            parse_settings(values, FeatureSpec)
    assert "antigravity" not in sys.modules


COUNT = itertools.count()


def counts(row: Any, _: BarWindow) -> Any:
    return [row[0] + next(COUNT), row[1]]


def fills(row: Any, window: BarWindow) -> Any:
    window.close.fill(1.0)
    return row


def unlocks(row: Any, window: BarWindow) -> Any:
    whole: Any = window.close.base
    whole.flags.writeable = True
    whole.fill(3.0)
    return row


def sleeps(row: Any, _: BarWindow) -> Any:
    time.sleep(0.002)
    return row


def fails_when_dear(row: Any, window: BarWindow) -> Any:
    return [np.nan if window.close[-1] > 5_000 else row[0], row[1]]


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (
            broken(lambda row, _: row[:1]),
            r"of shape \(1,\) for one bar, not one number for each of its 2",
        ),
        (broken(lambda row, _: [row]), r"an array of shape \(1, 2\)"),
        (broken(lambda *_: None), "gave nothing for one bar"),
        (broken(lambda *_: ["a", "b"]), "raised ValueError .*: could not convert string to float"),
        (
            broken(lambda row, _: [np.nan, row[1]]),
            "nan for gap_1 after the bar of 2023-11-.*: it must be finite",
        ),
        (broken(lambda row, _: [row[0], -np.inf]), "gave -inf for hour"),
        (
            broken(lambda *_: 1 / 0),
            "raised ZeroDivisionError .*: .*, with bars up to",
        ),
        (broken(counts), "must be a function of its window alone"),
        (broken(fills), "assignment destination is read-only"),
        (broken(unlocks), "function of its window alone|writes to the bars"),
        (broken(sleeps), r"takes [\d,]+ µs for one bar at best, more than its budget of 1,000 µs"),
    ],
)
def test_group_that_breaks_its_word_is_refused_before_it_is_used(
    group: FeatureGroup, said: str
) -> None:
    with pytest.raises(ComponentError, match=said) as refusal:
        check_groups((RangeVolatility(), group))
    assert "feature group is refused: features.groups[1]: " in str(refusal.value)
    with pytest.raises(ComponentError, match=said):
        check_feature_group(group)


def test_group_with_a_larger_budget_may_be_slow() -> None:
    check_groups((broken(sleeps, budget_us=1e9),))


class Ahead(Gap):
    """All bars at once, it also looks at what came before its window."""

    name: ClassVar[str] = "ahead"

    def rows(self, bars: BarWindow) -> Any:
        gaps = np.log(bars.open / np.roll(bars.close, 3)) * 100.0
        return np.column_stack([gaps, bars.timestamps_ns // 3_600_000_000_000 % 24])


class Short(Gap):
    name: ClassVar[str] = "short"

    def rows(self, bars: BarWindow) -> Any:
        return np.zeros((len(bars.close) - 1, 2))


class Late(Gap):
    """Gives NaN at one bar of a series."""

    name: ClassVar[str] = "late"

    def rows(self, bars: BarWindow) -> Any:
        rows = np.zeros((len(bars.close), 2))
        rows[-3, 1] = np.nan
        return rows


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (Ahead(), r"for gap_1 after bar \d+ when it had all bars, and .* when it had its last 2"),
        (Short(), r"gave rows of shape \(199, 2\) for 200 bars, not \(200, 2\)"),
        (Late(), "late@2 gave nan for hour after the bar of 2017-"),
        (broken(fails_when_dear), "broken@2 gave nan for gap_1"),
    ],
)
def test_group_that_is_wrong_somewhere_in_a_series_is_refused_with_the_bar(
    group: FeatureGroup, said: str, btc: Bars
) -> None:
    bars = btc.slice(3_000, 3_200)
    with pytest.raises(ComponentError, match=said):
        FeaturePipeline(FeatureSpec(groups=(group,))).transform(bars)
    with pytest.raises(ComponentError, match=said):
        check_feature_group(group, bars)


def test_group_that_fails_at_a_late_bar_gives_no_observation(btc: Bars) -> None:
    group = broken(fails_when_dear)
    pipeline = FeaturePipeline(FeatureSpec(**SMALL, groups=(group,)))
    failures = 0
    for index in range(3_000, 3_200):
        pipeline.update(btc.bar(index))
        if not pipeline.ready:
            continue
        out = np.empty(4, dtype=np.float32)
        if btc.close[index] > 5_000:
            failures += 1
            with pytest.raises(ObservationError, match="broken@2 gave nan for gap_1 after the bar"):
                pipeline.write_market(out)
        else:
            pipeline.write_market(out)
    assert failures


class Unnamed(FeatureGroup):
    """Declares nothing."""


def declared(**values: Any) -> type[FeatureGroup]:
    def giving(value: Any) -> Any:
        return value if isinstance(value, property) else property(lambda _: value)

    words = {
        key: value if key in ("name", "version") else giving(value) for key, value in values.items()
    }
    return type("Made", (Gap,), {"__module__": __name__, **words})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (declared(version=None), "has the version None; give it a whole number, 1 for the first"),
        (declared(version="1"), "has the version '1'"),
        (declared(version=True), "has the version True"),
        (declared(version=0), "has the version 0"),
        (declared(name="Gap!"), "has the name 'Gap!'"),
        (declared(lookback=0), "has the lookback 0"),
        (
            declared(lookback=10**6),
            "lookback 1000000; it must be a whole number of bars from 1 to 10000",
        ),
        (declared(lookback="2"), "has the lookback '2'"),
        (declared(component_names=()), "must have component_names, a tuple of names"),
        (declared(component_names="gap"), "must have component_names"),
        (declared(component_names=("rsi_14", "gap", "gap")), "two components have the name gap"),
        (declared(lookback=property(lambda _: 1 // 0)), "raised ZeroDivisionError"),
    ],
)
def test_group_that_says_too_little_of_itself_is_refused(kind: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refusal:
        parse_settings({"groups": (kind(),)}, FeatureSpec)
    assert "groups" in str(refusal.value)


def test_component_of_a_group_may_not_have_the_name_of_another(btc: Bars) -> None:
    named = declared(component_names=("rsi_14", "hour"))
    with pytest.raises(SettingsError, match="two components have the name rsi_14"):
        parse_settings({"groups": (named(),)}, FeatureSpec)
    with pytest.raises(SettingsError, match="two components have the name hour"):
        parse_settings({"groups": (Gap(), Gap(weight=2.0))}, FeatureSpec)


class Twin(Gap):
    """Has the name of another one."""


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (["Gap", "x"], "there is no feature group 'Gap'"),
        ([f"{__name__}:Gap", f"{__name__}:Twin"], "have the name 'gap'; leave one of them out"),
        ([f"{__name__}:Unnamed"], "has the name None"),
        (
            [f"{__name__}:BUILT_IN_GROUPS"],
            r"is tuple .*; expected: a subclass of tradewind\..*FeatureGroup",
        ),
        ([f"{__name__}:Nowhere"], "has no Nowhere"),
        (["no_such_module_at_all:Gap"], "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_list_of_groups_that_cannot_be_had_is_refused_with_its_place(
    allowed: list[str], said: str
) -> None:
    with pytest.raises(ComponentError, match=said) as refusal:
        known_groups(allowed)
    assert "feature group is refused: features: " in str(refusal.value)


def test_closed_door_lets_in_what_is_listed_alone() -> None:
    with closed_doors([f"{__name__}:Gap"], "allow_components"):
        assert FEATURES.find(f"{__name__}:Gap", "features") is Gap
        assert FEATURES.find("range_volatility", "features") is RangeVolatility
        with pytest.raises(ComponentError, match=r"list it \(allow_components\)"):
            FEATURES.find("antigravity:geohash", "features")
    assert FEATURES.find(f"{__name__}:Twin", "features") is Twin
