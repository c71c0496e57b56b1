import pytest

from tradewind.constants import ACTION_BUY, ACTION_HOLD, ACTION_SELL
from tradewind.errors import InvalidInputError
from tradewind.market import TradingTerms


@pytest.mark.parametrize(("allow_short", "sell"), [(False, 0.0), (True, -0.4)])
def test_target_of_each_action_is_a_signed_fraction_of_equity(
    allow_short: bool, sell: float
) -> None:
    terms = TradingTerms(allow_short=allow_short, position_fraction=0.4)
    targets = [terms.target(action) for action in (ACTION_SELL, ACTION_HOLD, ACTION_BUY)]
    assert targets == [sell, None, 0.4]


def test_target_of_an_unknown_action_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"0 \(SELL\), 1 \(HOLD\) or 2 \(BUY\), not 3"):
        TradingTerms().target(3)
