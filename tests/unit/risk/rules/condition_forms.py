"""Conditions of every form, as a policy writes them, for tests that try what hypothesis finds."""

from typing import Any

from hypothesis import strategies as st


def conditions(
    thresholds: st.SearchStrategy[dict[str, Any]], max_leaves: int
) -> st.SearchStrategy[dict[str, Any]]:
    """Thresholds under `all`, `any` and `not`."""
    return st.recursive(
        thresholds,
        lambda part: st.one_of(
            st.fixed_dictionaries({"all": st.lists(part, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"any": st.lists(part, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"not": part}),
        ),
        max_leaves=max_leaves,
    )
