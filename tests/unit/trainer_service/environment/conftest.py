"""The environment on real bars, with settings that the tests vary."""

from collections.abc import Callable
from typing import Any

import pytest

from tradewind.market import Bars, FeatureSpec, load_sample
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv

MakeEnv = Callable[..., IntradayTradingEnv]


@pytest.fixture(scope="session")
def btc() -> Bars:
    return load_sample("BTC")


@pytest.fixture(scope="session")
def make_env(btc: Bars) -> MakeEnv:
    """`make_env(episode_bars=50, bars=...)`: 5,000 real bars by default."""

    def make(
        *, bars: Bars | None = None, feature_spec: FeatureSpec | None = None, **settings: Any
    ) -> IntradayTradingEnv:
        return IntradayTradingEnv(
            btc.slice(0, 5000) if bars is None else bars,
            EnvironmentConfig(**settings),
            feature_spec,
        )

    return make
