"""For the tests of whoever writes a group of features."""

import copy
import random

import numpy as np

from tradewind.errors import ComponentError, FieldViolation
from tradewind.market.bars import Bars
from tradewind.market.feature_group import FeatureGroup
from tradewind.market.features import FeatureSpec
from tradewind.market.group_runner import check_groups, compare_row, window_of
from tradewind.market.pipeline import FeaturePipeline
from tradewind.market.sample import load_sample
from tradewind.settings import parse_settings

__all__ = ["check_feature_group"]

_BARS = 1_000


def check_feature_group(group: FeatureGroup, bars: Bars | None = None) -> None:
    """Checks that a group gives in production what it gave in training, to the last bit.

    All bars at once are compared with one bar after the other, as production builds observations,
    and with bars in another order, each asked of a copy that has seen nothing before.

    Args:
        group: The group.
        bars: What it is tried on; by default the beginning of the embedded sample of BTC.

    Raises:
        ComponentError: The group is refused at the start of a training or of an orchestrator, or
            gives other numbers; the message says which, and at which bar.
        SettingsError: What it says of itself is refused.
    """
    bars = load_sample("BTC").slice(0, group.lookback + _BARS) if bars is None else bars
    group = group.of_market(bars.market.name)
    values = {"bar_seconds": bars.interval_ns / 1e9, "groups": (group,), "position": False}
    spec = parse_settings(values, FeatureSpec, source="the group")
    check_groups(spec.groups)
    pipeline = FeaturePipeline(spec)
    rows = pipeline.transform(bars)
    alone = np.empty_like(rows[0])
    for index in range(len(bars)):
        pipeline.update(bars.bar(index))
        if pipeline.ready:
            pipeline.write_market(alone)
            if alone.tobytes() != rows[index].tobytes():
                _refuse(f"{group.identity} gave {rows[index]} in a series, {alone} bar by bar")
    window = window_of(bars)
    series = group.rows(window)
    order = list(range(group.lookback - 1, len(bars)))
    random.Random(1).shuffle(order)  # noqa: S311 - no secret
    for row in order:
        own = window.part(row + 1 - group.lookback, row + 1)
        found = copy.deepcopy(group).row(own) if series is None else series[row]
        try:
            compare_row(group, np.asarray(found, dtype=np.float64), window, row)
        except ValueError as problem:
            _refuse(str(problem))


def _refuse(said: str) -> None:
    raise ComponentError("feature group is refused", [FieldViolation("groups[0]", said)])
