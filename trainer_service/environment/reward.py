"""Rewards of anyone's own: what one is, where it comes in, and what it is asked with."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.components import Door, a_class, classes_in
from tradewind.errors import ComponentError, FieldViolation, TrainingError
from tradewind.market.accounting import EQUITY, LAST_TRADE_NOTIONAL, MARK_PRICE, QUANTITY
from tradewind.market.bars import FloatArray
from tradewind.part_options import told
from tradewind.parts import VersionedPart

__all__ = ["REWARDS", "Reward", "RewardHistory", "RewardWindow", "check_reward_function"]

_LONGEST: Final = 10_000
_TRIED: Final = 7


class RewardWindow(NamedTuple):
    """The last steps of n accounts, oldest first, to be read and not written.

    Before its episode an account held its cash and nothing else.

    Attributes:
        equity: At the close before each step, and at the last one. Shape [n, lookback + 1].
        exposure: Worth of all positions over equity at the same closes, signed; 0 where there is
            no equity. Shape [n, lookback + 1].
        traded: Notional that each step traded, of buys and sales together. Shape [n, lookback].
        steps: Steps of the episode so far, 1 after the first. Shape [n].
    """

    equity: FloatArray
    exposure: FloatArray
    traded: FloatArray
    steps: NDArray[np.int64]

    def row(self, row: int) -> "RewardWindow":
        """One account alone."""
        columns: Any = (array[row : row + 1] for array in self)
        return RewardWindow(*columns)


class Reward(VersionedPart):
    """A reward that is a function of the last `lookback` steps of an account and nothing else.

    A subclass declares `name` and `version`, its options as fields, and what stands below.
    """

    @property
    @abstractmethod
    def lookback(self) -> int:
        """How many steps it looks at, the one it is for included."""

    @abstractmethod
    def rewards(self, window: RewardWindow) -> ArrayLike:
        """The reward of the last step of each account, before `reward_scale`. Shape [n]."""


REWARDS: Final[Door[type[Reward]]] = Door(
    "reward",
    a_class(Reward),  # type: ignore[type-abstract]
    lambda: classes_in("trainer_service.environment.rewards", Reward),
    "tradewind.rewards",
)


class RewardHistory:
    """What a reward looks at, of n accounts.

    Args:
        reward: The reward.
        count: How many accounts.
        scale: Factor on it.

    Attributes:
        episode_return: Sum of the rewards of each running episode. Shape [n].
    """

    def __init__(self, reward: Reward, count: int, scale: float) -> None:
        self._reward, self._scale = reward, scale
        lookback = reward.lookback
        self._window = RewardWindow(
            np.zeros((count, lookback + 1)),
            np.zeros((count, lookback + 1)),
            np.zeros((count, lookback)),
            np.zeros(count, dtype=np.int64),
        )
        self.episode_return: FloatArray = np.zeros(count)

    def begin(self, rows: NDArray[np.int64] | slice, cash: float) -> None:
        """Forgets what some accounts did: their episode begins."""
        self.episode_return[rows] = 0.0
        for array, value in zip(self._window, (cash, 0.0, 0.0, 0), strict=True):
            array[rows] = value

    def step(self, states: FloatArray, traded: FloatArray) -> FloatArray:
        """The rewards of a step.

        Args:
            states: The accounts after it. Shape [n, s, STATE_SIZE].
            traded: Signed quantities that it traded. Shape [n, s].

        Returns:
            Shape [n].

        Raises:
            TrainingError: The reward fails, or is no finite number.
        """
        equity, exposure, notional, steps = self._window
        for array in (equity, exposure, notional):
            array[:, :-1] = array[:, 1:]
        worth = (states[:, :, QUANTITY] * states[:, :, MARK_PRICE]).sum(axis=1)
        equity[:, -1] = states[:, 0, EQUITY]
        exposure[:, -1] = 0.0
        np.divide(worth, equity[:, -1], out=exposure[:, -1], where=equity[:, -1] > 0.0)
        notional[:, -1] = np.where(
            traded != 0.0, np.abs(states[:, :, LAST_TRADE_NOTIONAL]), 0.0
        ).sum(1)
        steps += 1
        try:
            rewards = _asked(self._reward, self._window, self._scale)
        except ValueError as problem:
            raise TrainingError(str(problem)) from problem
        self.episode_return += rewards
        return rewards

    def get_state(self) -> dict[str, Any]:
        """All that later rewards depend on, as copies."""
        window = {name: array.copy() for name, array in self._window._asdict().items()}
        return {**window, "episode_return": self.episode_return.copy()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that a history of the same reward gave."""
        self._window = RewardWindow(*(state[name].copy() for name in RewardWindow._fields))
        self.episode_return = state["episode_return"].copy()


def check_reward_function(reward: Reward) -> None:
    """Tries a reward on possible accounts before anything is trained with it.

    Raises:
        ComponentError: It fails, is no finite number, remembers what it was asked before, writes to
            what it was given, or gives accounts other rewards together than alone.
    """
    try:
        lookback = reward.lookback
        if type(lookback) is not int or not 1 <= lookback <= _LONGEST:
            raise ValueError(
                f"{reward.identity} has the lookback {lookback!r}; it must be a whole number of "
                f"steps from 1 to {_LONGEST}"
            )
        _try(reward, trial_accounts(lookback))
    except Exception as problem:  # it is someone's own code
        said = str(problem) if isinstance(problem, ValueError) else _said(reward, problem)
        violation = FieldViolation("environment.reward", said)
        raise ComponentError("reward is refused", [violation]) from problem


def trial_accounts(lookback: int) -> RewardWindow:
    """Possible accounts, the same each time; the first has just begun."""
    random = np.random.default_rng(23)
    growth = np.exp(np.cumsum(random.normal(0.0, 0.004, (_TRIED, lookback + 1)), axis=1))
    window = RewardWindow(
        10_000.0 * growth,
        random.uniform(-1.0, 1.0, (_TRIED, lookback + 1)),
        random.exponential(500.0, (_TRIED, lookback)) * random.integers(0, 2, (_TRIED, lookback)),
        np.arange(lookback, lookback + _TRIED),
    )
    window.equity[0, :-1], window.exposure[0, :-1], window.traded[0, :-1] = 10_000.0, 0.0, 0.0
    window.steps[0] = 1
    return window


def _try(reward: Reward, window: RewardWindow) -> None:
    before = [array.copy() for array in window]
    together = _asked(reward, window, 1.0)
    for row in reversed(range(len(together))):
        alone = _asked(reward, window.row(row), 1.0)
        if alone[0].tobytes() != together[row].tobytes():
            raise ValueError(
                f"{reward.identity} gave {together[row]!r} for an account among others and "
                f"{alone[0]!r} for it alone: it must be a function of its last {reward.lookback} "
                "steps alone, to the last bit"
            )
    again = _asked(reward, window, 1.0)
    if again.tobytes() != together.tobytes():
        raise ValueError(f"{reward.identity} remembers what it was asked before: it must not")
    if any(old.tobytes() != new.tobytes() for old, new in zip(before, window, strict=True)):
        raise ValueError(f"{reward.identity} writes to what it is given: it must copy it")


def _asked(reward: Reward, window: RewardWindow, scale: float) -> FloatArray:
    """The rewards, if they are such.

    Raises:
        ValueError: They are not.
    """
    columns: Any = [array.view() for array in window]
    views = RewardWindow(*columns)
    for view in views:
        view.setflags(write=False)
    try:
        rewards = np.asarray(reward.rewards(views), dtype=np.float64) * scale
    except MemoryError:
        raise
    except Exception as problem:  # it is someone's own code
        raise ValueError(_said(reward, problem)) from problem
    if rewards.shape != window.steps.shape:
        raise ValueError(
            f"{reward.identity} gave rewards of shape {rewards.shape}, not {window.steps.shape}: "
            "one number for each account"
        )
    # As a model stores it; what does not fit there is as good as infinite.
    finite = np.abs(rewards) <= np.finfo(np.float32).max
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(
            f"{reward.identity} gave {float(rewards[row])} after step {int(window.steps[row])} of "
            "an episode, no finite number of 32 bits"
        )
    return rewards


def _said(reward: Reward, problem: Exception) -> str:
    return f"{reward.identity} raised {told(problem)}"
