"""A user's own trading environment: a subclass of IntradayTradingEnv, or one in wrappers."""

import copy
import io
import math
import pickle
from collections.abc import Iterator, Mapping, Sized
from typing import Any, Final

import gymnasium
import numpy as np

from tradewind.errors import TradewindError, TrainingError
from tradewind.market import BarSeries
from trainer_service.environment.intraday import IntradayTradingEnv
from trainer_service.environment.task import TradingTask

__all__ = [
    "changed_methods",
    "check_copyable",
    "check_reward",
    "check_step",
    "copy_onto",
    "describe_environment",
    "dump_states",
    "inner_of",
    "layers_of",
    "load_states",
]

Env = gymnasium.Env[Any, Any]

# What gymnasium.make adds: they check calls and change nothing.
_TRANSPARENT: Final = (gymnasium.wrappers.OrderEnforcing, gymnasium.wrappers.PassiveEnvChecker)
# Names of a class that change nothing of what is trained on.
_INERT: Final = frozenset(
    {"__init__", "__module__", "__qualname__", "__doc__", "__annotations__", "__firstlineno__"}
    | {"__static_attributes__", "__parameters__", "__orig_bases__", "__repr__", "__str__"}
    | {"__abstractmethods__", "_abc_impl", "__hash__", "__eq__", "__del__", "__slots__"}
    | {"metadata", "render", "render_mode", "close", "spec", "onto"}
)


def layers_of(env: Env) -> list[Env]:
    """An environment and what it wraps, the outermost first."""
    layers = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    return layers


def inner_of(env: Env) -> IntradayTradingEnv | None:
    """The trading environment within wrappers; None when there is none."""
    inner = layers_of(env)[-1]
    return inner if isinstance(inner, IntradayTradingEnv) else None


def changed_methods(env: Env) -> tuple[str, ...]:
    """What makes an environment another one than IntradayTradingEnv: empty when nothing does.

    Names of the methods that subclasses override, and of wrappers that may change something.
    """
    *wrappers, inner = layers_of(env)
    assert isinstance(inner, IntradayTradingEnv)
    kinds = type(inner).__mro__
    own = kinds[: kinds.index(IntradayTradingEnv)]
    names = {name for kind in own for name in vars(kind)} & set(dir(IntradayTradingEnv))
    return (
        *(type(each).__name__ for each in wrappers if not isinstance(each, _TRANSPARENT)),
        *sorted(names - _INERT),
    )


def describe_environment(env: Env) -> dict[str, Any]:
    """What a bundle records of an environment of the user's own, as JSON."""
    kinds = [type(each) for each in layers_of(env)]
    *wrappers, inner = [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds]
    return {
        "class": inner,
        "wrappers": wrappers,
        "changes": list(changed_methods(env)),
        "observations": "those of the features",
        "actions": "those of the trading terms",
        "evaluated_in": "IntradayTradingEnv, as production trades",
    }


def check_copyable(env: Env) -> None:
    """Refuses an environment that production could not feed, or that cannot be copied.

    Raises:
        TrainingError: It has other actions or observations than IntradayTradingEnv, or a method
            that was replaced on the object and not in its class.
    """
    inner = inner_of(env)
    assert inner is not None
    name = _name(env)
    task = inner.trading_task
    for space, found, stock in (
        ("action_space", env.action_space, task.action_space),
        ("observation_space", env.observation_space, task.observation_space),
    ):
        if found != stock:
            raise TrainingError(
                f"{name} has the {space} {found}, not {stock}: production knows only that of "
                "IntradayTradingEnv, and could not feed the policy; keep it, and set "
                "environment.actions or features"
            )
    replaced = sorted(
        key
        for each in layers_of(env)
        for key in vars(each)
        if callable(getattr(type(each), key, None))
    )
    if replaced:
        raise TrainingError(
            f"{name} has {', '.join(replaced)} replaced on the object, which no copy would have: "
            "override it in a subclass"
        )


def copy_onto(env: Env, bars: BarSeries, *, like: Env | None = None) -> Env:
    """Copies an environment, wrappers and all, onto other bars.

    Args:
        env: The environment; it is left as it is.
        bars: The bars of the copy.
        like: A copy that was made of it before, on the same bars: what is made from bars is shared
            with it.

    Raises:
        TrainingError: It cannot be copied; the message says what of it.
        MarketDataError: The bars are too few.
    """
    inner = inner_of(env)
    assert inner is not None
    shared = None if like is None else inner_of(like)
    try:
        if shared is not None and type(inner).onto is IntradayTradingEnv.onto:
            own = shared.onto_task(shared.trading_task)
        else:
            own = inner.onto(bars)
        copied: Env = copy.deepcopy(env, {id(inner): own})
    except TradewindError:
        raise
    except Exception as problem:  # a user's class raises whatever it likes
        raise TrainingError(
            f"{_name(env)} cannot be copied for training: {type(problem).__name__}: {problem}; "
            "give it attributes that copy.deepcopy takes, or override onto()"
        ) from problem
    if own.bars.digest != bars.digest:
        raise TrainingError(f"onto() of {_name(env)} gave an environment on other bars")
    return copied


def check_attributes(env: IntradayTradingEnv) -> None:
    """Refuses attributes of a subclass with a row for each bar: on other bars they are wrong.

    Raises:
        TrainingError: There is one; the message names it.
    """
    stock = vars(IntradayTradingEnv.of_task(env.trading_task)).keys()
    for name, value in vars(env).items():
        if name in stock or isinstance(value, str | bytes | gymnasium.Env):
            continue
        size = value.shape[0] if isinstance(value, np.ndarray) and value.ndim else None
        if size is None and isinstance(value, Sized) and not isinstance(value, np.ndarray):
            size = len(value)
        if size == len(env.bars):
            raise TrainingError(
                f"{type(env).__name__}.{name} has a row for each of {size} bars: a copy on other "
                "bars would read the wrong ones; override onto() to make it anew"
            )


def dump_states(envs: list[Env]) -> bytes:
    """Pickles what changes of environments, without what is made from bars.

    Raises:
        TrainingError: An attribute cannot be pickled.
    """
    known = {id(it): key for key, it in _landmarks(envs)}
    buffer = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return known.get(id(obj))

    try:
        Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(
            [[vars(layer) for layer in layers_of(env)] for env in envs]
        )
    except Exception as problem:  # so does pickle
        raise TrainingError(
            f"the state of {_name(envs[0])} cannot be saved: {type(problem).__name__}: {problem}; "
            "give it attributes that can be pickled, or train without checkpoints"
        ) from problem
    return buffer.getvalue()


def load_states(envs: list[Env], states: bytes) -> None:
    """Puts environments back to what `dump_states` found of the same ones.

    Raises:
        ValueError: The states do not fit.
    """
    known = dict(_landmarks(envs))

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return known[pid]

    # Written by this process's like into a folder of its own: no more foreign than its code.
    try:
        found = Unpickler(io.BytesIO(states)).load()
        for env, layers in zip(envs, found, strict=True):
            for layer, values in zip(layers_of(env), layers, strict=True):
                vars(layer).clear()
                vars(layer).update(values)
    except Exception as problem:
        raise ValueError(f"the state of {_name(envs[0])}: {problem}") from problem


def check_step(env: Env, reward: Any, observation: Any, steps: int) -> None:
    """Refuses what no policy could learn from, or production not give.

    Raises:
        TrainingError: The reward is not a finite number, or the observation is another one than
            the features give.
    """
    check_reward(env, reward)
    inner = inner_of(env)
    assert inner is not None
    expected = IntradayTradingEnv.observe(inner)
    found = np.asarray(observation)
    if found.dtype != expected.dtype or found.tobytes() != expected.tobytes():
        raise TrainingError(
            f"{_name(env)} gave another observation than the features after {steps} steps: "
            "production builds them from the features alone, and could not feed the policy"
        )


def check_reward(env: Env, reward: Any) -> None:
    """Refuses a reward that is not a finite number.

    Raises:
        TrainingError: It is none.
    """
    try:
        finite = math.isfinite(reward)
    except (TypeError, ValueError):
        finite = False
    if not finite:
        raise TrainingError(f"a step of {_name(env)} gave the reward {reward!r}, no finite number")


def _landmarks(envs: list[Env]) -> Iterator[tuple[Any, Any]]:
    """What states refer to and never hold: the environments, and what is made from bars."""
    for row, env in enumerate(envs):
        layers = layers_of(env)
        for depth, layer in enumerate(layers):
            yield ("layer", row, depth), layer
        inner = layers[-1]
        assert isinstance(inner, IntradayTradingEnv)
        for name, value in shared_parts(inner.trading_task).items():
            yield ("shared", row, name), value


def shared_parts(task: TradingTask) -> Mapping[str, Any]:
    """The task and what it consists of, by name."""
    parts: dict[str, Any] = {"task": task, **vars(task)}
    for name in ("market", "calendar"):
        parts |= {f"{name}.{key}": it for key, it in getattr(task, name)._asdict().items()}
    plain = int | float | str | None
    return {name: it for name, it in parts.items() if not isinstance(it, plain)}


def _name(env: Env) -> str:
    names = [type(each).__name__ for each in layers_of(env)]
    return "(".join(names) + ")" * (len(names) - 1)
