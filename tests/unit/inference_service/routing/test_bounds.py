from hypothesis import given
from hypothesis import strategies as st

from inference_service.routing.bounds import Window, limit_ns
from inference_service.routing.routes import Counts, Tally
from tradewind.serving import VariantBounds

BOUNDS = VariantBounds(window_calls=100, percentile=90.0, model_compute_us=50.0, error_share=0.05)


def test_window_within_its_bounds_is_followed_by_a_new_one() -> None:
    window = Window(Counts())
    assert window.judge(Counts(answered=95, over_limit=10, failed=5), BOUNDS) is None
    # The slow answers and the errors of the window before count no more.
    assert window.judge(Counts(answered=150, over_limit=20, failed=10), BOUNDS) is None
    breach = window.judge(Counts(answered=160, over_limit=21, failed=10), BOUNDS)
    assert breach is not None
    assert breach.cause == "MODEL_COMPUTE"
    assert breach.reason == (
        "11 of 65 answers took longer than 50 µs, which p90 of 100 calls must not"
    )


def test_window_with_too_many_errors_is_broken_before_it_is_whole() -> None:
    window = Window(Counts())
    breach = window.judge(Counts(failed=6), BOUNDS)
    assert breach is not None
    assert (breach.cause, breach.reason) == (
        "ERROR_SHARE",
        "6 of 6 calls failed; 0.05 of 100 may",
    )


def test_bounds_that_are_not_set_are_not_judged() -> None:
    everything = Counts(answered=10_000, over_limit=10_000, failed=10_000)
    assert Window(Counts()).judge(everything, VariantBounds(max_drawdown=0.1)) is None
    assert limit_ns(VariantBounds()) == limit_ns(None) == float("inf")


@given(st.lists(st.integers(1, 100_000), min_size=100, max_size=100))
def test_whole_window_is_broken_exactly_when_its_percentile_is_over_the_limit(
    times_ns: list[int],
) -> None:
    tally = Tally(limit_ns(BOUNDS))
    for time_ns in times_ns:
        tally.answered(time_ns)
    breach = Window(Counts()).judge(tally.counts(), BOUNDS)
    percentile_ns = sorted(times_ns)[89]  # at least 90 of the 100 do not exceed it
    assert (breach is not None) == (percentile_ns > 50_000)
