"""Page tokens: opaque, and refused when they are not ours."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk_service.requests import read_page_token, write_page_token
from tradewind.errors import InvalidInputError


@given(st.text(alphabet="abc-", max_size=8), st.integers(1, 2**63 - 1))
def test_page_token_with_any_place_reads_back(account: str, before: int) -> None:
    assert read_page_token(write_page_token(account, before), account) == before


@given(st.text(min_size=1))
def test_page_token_with_any_text_is_refused_as_bad_input(token: str) -> None:
    with pytest.raises(InvalidInputError, match="page_token"):
        read_page_token(token, "")


@pytest.mark.parametrize("before", [0, -1, 2**63])
def test_page_token_with_an_impossible_place_is_refused(before: int) -> None:
    with pytest.raises(InvalidInputError, match="page_token"):
        read_page_token(write_page_token("", before), "")


def test_page_token_of_another_account_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="another account"):
        read_page_token(write_page_token("a", 5), "b")


def test_page_token_that_nests_deeper_than_the_stack_is_refused() -> None:
    token = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(InvalidInputError, match="page_token"):
        read_page_token(token, "")
