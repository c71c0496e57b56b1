from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from inference_service.routing.weights import WeightedChoice

NAMES = ("a", "b", "c", "d")
weights = st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4)
keys = st.lists(st.text(min_size=1), min_size=1, max_size=50)


@given(weights, keys, st.permutations(NAMES))
def test_key_with_the_names_in_any_order_stays_with_its_name(
    given_weights: list[float], some: list[str], order: list[str]
) -> None:
    weight_of = dict(zip(NAMES, given_weights, strict=True))
    one = WeightedChoice(NAMES, given_weights, "salt")
    other = WeightedChoice(order, [weight_of[name] for name in order], "salt")
    for key in some:
        assert NAMES[one.by_key(key)] == order[other.by_key(key)]


@given(weights, weights, keys)
def test_key_with_changed_weights_moves_only_where_the_weight_has_grown_beside_its_own(
    before: list[float], after: list[float], some: list[str]
) -> None:
    one, other = (WeightedChoice(NAMES, each, "salt") for each in (before, after))
    for key in some:
        old, new = one.by_key(key), other.by_key(key)
        if old != new:
            assert after[new] / before[new] >= after[old] / before[old]


@given(weights, keys)
def test_key_with_a_name_taken_away_moves_only_if_it_was_that_name_s(
    given_weights: list[float], some: list[str]
) -> None:
    every = WeightedChoice(NAMES, given_weights, "salt")
    fewer = WeightedChoice(NAMES, [*given_weights[:3], 0.0], "salt")
    for key in some:
        assert every.by_key(key) in (fewer.by_key(key), 3)
        assert fewer.by_key(key) != 3


def test_keys_and_draws_with_weights_are_shared_by_them() -> None:
    choice = WeightedChoice(("a", "b", "c"), (0.7, 0.3, 0.0), "salt")
    by_key = Counter(choice.by_key(f"key {number}") for number in range(20_000))
    drawn = Counter(choice.at_random() for _ in range(20_000))
    for counted in (by_key, drawn):  # 5 standard deviations of a share are 0.016
        assert abs(counted[0] / 20_000 - 0.7) < 0.016
        assert counted[2] == 0


def test_keys_with_another_salt_are_assigned_anew() -> None:
    one, other = (WeightedChoice(("a", "b"), (0.5, 0.5), salt) for salt in ("1", "2"))
    equal = sum(one.by_key(str(key)) == other.by_key(str(key)) for key in range(10_000))
    assert abs(equal / 10_000 - 0.5) < 0.025
