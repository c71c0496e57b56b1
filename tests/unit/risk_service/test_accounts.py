"""Accounts: names, and how many there may be."""

import pytest

from risk_service.accounts import Accounts
from tradewind.errors import InvalidInputError, OverloadedError


def test_get_with_no_name_gives_the_default_account() -> None:
    accounts = Accounts([], limit=2)
    assert accounts.get("") is accounts.get("default")


@pytest.mark.parametrize("name", ["a b", "x" * 65, "é", "a/b", "\0"])
def test_get_with_an_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="must match"):
        Accounts([], limit=2).get(name)


def test_get_with_one_account_too_many_is_refused_but_known_ones_go_on() -> None:
    accounts = Accounts([], limit=2)
    first = accounts.get("a")
    accounts.get("b")
    with pytest.raises(OverloadedError, match="2 accounts"):
        accounts.get("c")
    assert accounts.get("a") is first
