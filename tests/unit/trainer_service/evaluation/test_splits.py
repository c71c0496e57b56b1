"""Walk-forward splits."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.errors import MarketDataError, SettingsError
from trainer_service.evaluation import WalkForwardConfig, walk_forward_splits


@given(
    bar_count=st.integers(500, 5_000),
    folds=st.integers(2, 6),
    lookback=st.integers(1, 30),
    extra=st.integers(0, 10),
    rolling=st.booleans(),
)
def test_walk_forward_splits_with_any_series_never_look_ahead(
    bar_count: int, folds: int, lookback: int, extra: int, rolling: bool
) -> None:
    config = WalkForwardConfig(
        folds=folds,
        window="rolling" if rolling else "expanding",
        embargo_bars=lookback + extra,
    )

    splits = walk_forward_splits(bar_count, lookback, config)

    assert len(splits) == folds
    assert splits[-1].test[1] == bar_count
    lengths = {split.train[1] - split.train[0] for split in splits}
    assert (len(lengths) == 1) == rolling
    for split, following in pairwise(splits):
        assert split.test[1] == following.train[1]
    for split in splits:
        first_decision = split.test[0] + lookback - 1
        assert split.test[0] >= split.train[1]
        assert first_decision - (split.train[1] - 1) == lookback + extra
        assert first_decision + 1 < split.test[1]


def test_walk_forward_splits_with_an_embargo_below_the_lookback_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"embargo_bars: must not be below .* \(50\)"):
        walk_forward_splits(1_000, 50, WalkForwardConfig(embargo_bars=49))


@pytest.mark.parametrize(("bar_count", "fraction"), [(400, 0.5), (1_000, 0.01)])
def test_walk_forward_splits_with_too_few_bars_are_refused(bar_count: int, fraction: float) -> None:
    config = WalkForwardConfig(folds=4, initial_fraction=fraction)

    with pytest.raises(MarketDataError, match=f"{bar_count} bars are too few for 4 folds"):
        walk_forward_splits(bar_count, 50, config)
