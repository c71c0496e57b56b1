"""One pass of a policy over bars, and what is recorded of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from tradewind.market.bars import FloatArray
from tradewind.policy import Network
from trainer_service.environment import IntradayTradingEnv
from trainer_service.environment.intraday import StepResult

__all__ = [
    "Choose",
    "Episode",
    "Observations",
    "greedy",
    "play",
    "play_to",
    "record_observations",
]

Observations = NDArray[np.float32]
Choose = Callable[[Observations], Any]
"""Observation to action."""


@dataclass(frozen=True, eq=False)
class Episode:
    """One pass over bars, from the close that the first decision is made on to the last close.

    Attributes:
        observations: What was seen before each step. Shape [steps, observation].
        timestamps: Closes, seconds since the epoch. Shape [steps + 1].
        symbols: What was traded.
        prices: Close prices. Shape [steps + 1, symbols].
        equity: Account values at the closes, costs paid. Shape [steps + 1].
        exposures: Position values as signed fractions of equity. Shape [steps + 1, symbols].
        trade_count: Fills.
        traded_notional: Sum of their absolute notionals.
        costs: Fees, slippage, funding and borrowing paid, in the currency of the account.
        cost_components: What they are made of, where instruments or costs by component are traded.
        refused_trades: Trades that were too small for their instruments.
        periods_per_year: Bars in a year of their market.
        market: Name of that market.
    """

    observations: Observations
    timestamps: FloatArray
    symbols: tuple[str, ...]
    prices: FloatArray
    equity: FloatArray
    exposures: FloatArray
    trade_count: int
    traded_notional: float
    costs: float
    cost_components: Mapping[str, float]
    refused_trades: int
    periods_per_year: float
    market: str

    @property
    def ruined(self) -> bool:
        """The account has lost everything; exposures and returns end there."""
        return bool(self.equity[-1] <= 0.0)

    @property
    def returns(self) -> FloatArray:
        """Simple return of each bar. Shape [steps]."""
        returns: FloatArray = self.equity[1:] / self.equity[:-1] - 1.0
        return returns


def greedy(network: Network) -> Choose:
    """Chooses what the network prefers."""
    return lambda observation: network.act(observation[np.newaxis])[0][0]


def play(env: IntradayTradingEnv, choose: Choose) -> Episode:
    """Plays one episode of the trading environment."""
    return _record(env, lambda observation: env.step(choose(observation)))


def play_to(env: IntradayTradingEnv, choose: Callable[[], FloatArray]) -> Episode:
    """Plays one episode of positions, as `IntradayTradingEnv.step_to` takes them."""
    return _record(env, lambda _: env.step_to(choose()))


def _record(env: IntradayTradingEnv, step: Callable[[Observations], StepResult]) -> Episode:
    observation, info = env.reset()
    seen: list[Observations] = []
    quantities = [env.holdings.quantities]
    ended = False
    while not ended:
        seen.append(observation)
        observation, _, terminated, truncated, _ = step(observation)
        quantities.append(env.holdings.quantities)
        ended = terminated or truncated
    account = env.risk_inputs()
    start: int = info["start"]
    prices = env.trading_task.market.close[start : start + len(quantities)]
    return Episode(
        observations=np.stack(seen),
        timestamps=account.timestamps,
        symbols=env.symbols,
        prices=prices,
        equity=account.portfolio_values,
        exposures=np.array(quantities) * prices / account.portfolio_values[:, np.newaxis],
        trade_count=int(np.count_nonzero(account.trade_notionals)),
        traded_notional=float(np.abs(account.trade_notionals).sum()),
        costs=env.holdings.costs,
        cost_components=env.holdings.costs_by_component if env.config.has_conditions else {},
        refused_trades=env.holdings.refused_trades,
        periods_per_year=env.periods_per_year,
        market=env.bars.market.name,
    )


def record_observations(
    env: gymnasium.Env[Any, Any], network: Network, count: int, seed: int
) -> Observations:
    """What a policy sees in an environment, over as many episodes as it takes.

    Args:
        env: The environment.
        network: The network as the bundle holds it.
        count: How many observations.
        seed: Seeds the first episode.

    Returns:
        Shape [count, *observation].
    """
    choose = greedy(network)
    seen: list[Observations] = []
    ended = True
    while len(seen) < count:
        if ended:
            observation, _ = env.reset(seed=None if seen else seed)
        seen.append(observation)
        observation, _, terminated, truncated, _ = env.step(choose(observation))
        ended = terminated or truncated
    return np.stack(seen)
