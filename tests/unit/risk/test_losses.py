"""The largest losses that a tracker keeps, against sorting the window anew at every bar."""

from math import nan

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tradewind.risk.calculators.order_statistics import CONFIDENCES, tail_size
from tradewind.risk.engine.account import ACCOUNT, reset_account
from tradewind.risk.engine.losses import NOT_SORTED, keep_losses_sorted, kept_losses

RETURNS = st.lists(
    st.one_of(st.sampled_from([0.0, -0.0, 0.01, -0.01, nan]), st.floats(-0.5, 0.5)), max_size=60
)


@given(RETURNS, st.sampled_from([1, 2, 3, 12, 21, 25]), st.data())
def test_losses_kept_in_order_with_any_returns_are_the_largest_of_the_window(
    returns: list[float], window: int, data: st.DataObject
) -> None:
    account, losses = np.empty(1, ACCOUNT), np.zeros(kept_losses(window))
    reset_account(account[0])
    taken = 0
    while taken < len(returns):
        new = data.draw(st.sampled_from([1, 1, 1, 1, 3]))
        taken = min(taken + new, len(returns))
        before = int(account["return_count"][0])
        account["return_count"] = taken
        keep_losses_sorted(
            account[0], window, np.array(returns[max(taken - window - 1, 0) : taken]), losses
        )

        latest = 0.0 - np.array(returns[max(taken - window, 0) : taken])
        kept = int(account["sorted_losses"][0])
        if taken - before == 1 and np.isfinite(latest).all():
            assert tail_size(latest.size, CONFIDENCES[0]) <= kept <= losses.size
            assert losses[:kept].tobytes() == np.sort(latest)[::-1][:kept].tobytes()
        elif np.isfinite(latest).all():
            assert kept == NOT_SORTED  # several at once
        else:
            assert kept == NOT_SORTED or np.isfinite(losses[:kept]).all()


def test_losses_with_the_same_return_count_stay_as_they_are() -> None:
    account, losses = np.empty(1, ACCOUNT), np.array([3.0, 1.0])
    reset_account(account[0])
    keep_losses_sorted(account[0], 2, np.array([0.5]), losses)
    assert losses.tolist() == [3.0, 1.0]
