"""One bit that differs is found, wherever it is."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.decision_replay.answers import targets_of
from orchestrator.analysis.decision_replay.findings import Difference, Findings, same_value
from tradewind.market import TradingTerms


@given(
    st.lists(st.floats(width=64), min_size=1, max_size=20),
    st.data(),
    st.sampled_from([np.float32, np.float64]),
)
def test_findings_with_one_flipped_bit_name_its_place(
    values: list[float], data: st.DataObject, kind: type[np.floating]
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        logged = np.array(values).astype(kind)
    count = len(logged)
    at = data.draw(st.integers(0, count - 1))
    bit = data.draw(st.integers(0, 8 * logged.itemsize - 1))
    replayed = logged.copy()
    words = replayed.view(np.uint32 if kind is np.float32 else np.uint64)
    words[at] ^= words.dtype.type(1 << bit)
    rows = np.arange(100, 100 + count)
    where: dict[str, Any] = {
        "sequences": rows,
        "closes_ns": rows * 10,
        "symbols": [f"S{i}" for i in range(count)],
    }
    findings = Findings()
    findings.compare_arrays("same", logged, logged.copy(), **where)
    assert findings.equal
    findings.compare_arrays("changed", logged, replayed, **where)
    assert not findings.equal
    same, changed = findings.columns
    assert (same.compared, same.different, same.first) == (count, 0, None)
    assert (changed.compared, changed.different) == (count, 1)
    assert changed.first is not None
    assert changed.first.sequence == 100 + at
    assert (changed.first.close_ns, changed.first.symbol) == ((100 + at) * 10, f"S{at}")


def test_findings_of_a_column_in_parts_count_all_and_keep_the_first() -> None:
    findings = Findings()
    late, early = Difference(9, 90, "", 1.0, 2.0), Difference(3, 30, "", 1.0, 2.0)
    findings.add("equity", 5, 2, late)
    findings.add("equity", 4, 1, early)
    findings.add("equity", 3)
    (one,) = findings.columns
    assert (one.compared, one.different, one.first) == (12, 3, early)


def test_findings_of_named_numbers_show_what_a_side_lacks() -> None:
    findings = Findings()
    findings.compare_maps("risk", 1, 10, {"a": 1.0, "b": 0.0}, {"a": 1.0, "c": 2.0})
    found = {item.column: item.first for item in findings.columns}
    assert found["risk.a"] is None
    assert found["risk.b"] == Difference(1, 10, "", 0.0, None)
    assert found["risk.c"] == Difference(1, 10, "", None, 2.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(0.0, -0.0, False), (float("nan"), float("nan"), True), (None, 0.0, False), ("a", "a", True)],
)
def test_values_with_their_bits_are_the_same_or_not(one: object, other: object, same: bool) -> None:
    assert same_value(one, other) is same


def test_targets_of_actions_in_several_symbols_are_those_of_the_terms() -> None:
    terms = TradingTerms(actions="continuous", allow_short=True, position_fraction=0.5)
    actions = np.array([[0.5, -1.0], [2.0, 0.0], [0.5, -1.0]], dtype=np.float32)
    found = targets_of(actions, terms, 2)
    assert found[0].tolist() == found[2].tolist() == [0.25, -0.5]
    assert np.isnan(found[1]).all()  # no action of the policy
    discrete = targets_of(np.array([0, 1, 2]), TradingTerms(), 1)
    assert discrete[:, 0].tolist()[::2] == [0.0, 1.0]
    assert np.isnan(discrete[1, 0])
