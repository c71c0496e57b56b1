"""A risk policy turned into the arrays its kernels read."""

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args, get_origin

import numpy as np
from pydantic.fields import FieldInfo

from tradewind.risk.calculators.registry import CALCULATORS
from tradewind.risk.calculators.stress import STRESS, shock_table
from tradewind.risk.calculators.volatility import AUTO
from tradewind.risk.engine.account import ACCOUNT
from tradewind.risk.engine.clock import SPACINGS
from tradewind.risk.engine.kernel import TAIL, arguments_of
from tradewind.risk.engine.remarks import RemarkBook
from tradewind.risk.engine.result import CODE, RESULT_EXTRA, RESULT_ROWS, VALUE
from tradewind.risk.engine.snapshot import pack_snapshot
from tradewind.risk.engine.state import SERIES
from tradewind.risk.inputs import FloatArray, RiskInputs
from tradewind.risk.outside.declaration import TRADES
from tradewind.risk.outside.running import OutsideRunner
from tradewind.risk.policy import RiskPolicy
from tradewind.risk.reasons import FIELD_SPAN, NOT_CALCULATED

__all__ = ["Plan"]

DISABLED: Final = -1
ROOM_FOR_OPTIONS: Final = 256
_KINDS: Final = {int: "i8", float: "f8"}


def _config_fields() -> list[tuple[str, str]]:
    """One field for each window, each calculator (its first metric) and each of its settings."""
    fields = [("losses_window", "i8"), ("workspace_size", "i8")]
    fields += [(f"{series}_{what}", "i8") for series in SERIES for what in ("window", "offset")]
    for calculator in CALCULATORS:
        fields.append((calculator.name, "i8"))
        for name, info in calculator.settings.model_fields.items():
            if name != "enabled" and (kind := _kind(info)):
                fields.append((f"{calculator.name}_{name}", kind))
    return fields


def _kind(info: FieldInfo) -> str | None:
    if info.default == AUTO:
        return "f8"
    if get_origin(info.annotation) is Literal:
        return "i8"
    return _KINDS.get(info.annotation) if isinstance(info.annotation, type) else None


CONFIG: Final = np.dtype(_config_fields(), align=True)


class Plan:
    """A policy as its kernels read it.

    Attributes:
        policy: The policy.
        digest: Its digest.
        metrics: Names of the metrics, in the order of the result's columns.
        blank_metrics: Each metric, without a value.
        remarks: Puts into words what a result says beside its numbers.
        config: One record of settings. Shape [1].
        shock_rows: Row of the shocks for each symbol that a stress scenario names.
        shocks: Stress shocks. Shape [rows, scenarios].
        limits: Limit of each metric (NaN: none), and its weight. Shape [2, metrics].
        workspace_size: Numbers of the workspace of kernels on an account with few options.
        workspace: Of kernels that hold the interpreter lock while they run.
        account: Likewise: the folds of whole arrays. Shape [1].
        outside: Calls the calculators from outside; None without any.
    """

    def __init__(self, policy: RiskPolicy) -> None:
        self.policy = policy
        self.digest = policy.digest()
        self.metrics = policy.calculators.metrics()
        self.blank_metrics = dict.fromkeys(self.metrics, np.nan)
        self.config = _config(policy)
        self.shock_rows, self.shocks = shock_table(policy.calculators.of(STRESS))
        self.limits = np.full((2, len(self.metrics)), np.nan)
        for column, metric in enumerate(self.metrics):
            if metric in policy.limits:
                limit = policy.limits[metric]
                self.limits[:, column] = limit.limit, limit.weight
        self.workspace_size = int(self.config["workspace_size"][0]) + ROOM_FOR_OPTIONS
        self.workspace = np.empty(self.workspace_size)
        self.account: np.ndarray[Any, Any] = np.empty(1, dtype=ACCOUNT)
        self.remarks = RemarkBook(self.metrics, frozenset(policy.limits))
        self.outside: OutsideRunner | None = None
        if calculators := policy.calculators.outside:
            count = sum(len(each.metrics) for each in calculators.values())
            self.outside = OutsideRunner(calculators, len(self.metrics) - count, self.limits)
        self._new_result = np.zeros((RESULT_ROWS, len(self.metrics) + RESULT_EXTRA))
        self._new_result[VALUE] = np.nan
        self._new_result[CODE, : len(self.metrics)] = NOT_CALCULATED * FIELD_SPAN

    def new_result(self) -> FloatArray:
        """A result in which no metric has been calculated. Shape [4, metrics + 2]."""
        return self._new_result.copy()

    def config_of_bars(self) -> np.ndarray[Any, Any]:
        """Settings for accounts of which only bars are told: no room for what never comes."""
        config = self.config.copy()
        for series in ("price_changes", "order_flows", "order_latencies_us"):
            config[f"{series}_window"] = 0
        _lay_out(config)
        return config

    def grow_workspace(self) -> None:
        """Makes room for twice as much, after a kernel has answered NEEDS_WORKSPACE."""
        self.workspace = np.empty(2 * self.workspace.size)

    def pack(self, inputs: RiskInputs) -> FloatArray:
        """Packs the part of the inputs that is not a series.

        Raises:
            RiskInputError: A symbol stands in two positions, or a number is none.
        """
        return pack_snapshot(inputs, self.shock_rows)


def _config(policy: RiskPolicy) -> np.ndarray[Any, Any]:
    config = np.zeros(1, dtype=CONFIG)
    column = 0
    for calculator in CALCULATORS:
        settings = policy.calculators.of(calculator)
        config[calculator.name] = column if settings.enabled else DISABLED
        # Those of a disabled calculator, too: others look at the clock skew.
        for name, info in calculator.settings.model_fields.items():
            field = f"{calculator.name}_{name}"
            if _kind(info) and name != "enabled":
                config[field] = _number(getattr(settings, name), info)
        if not settings.enabled:
            continue
        column += len(calculator.metrics(settings))
        _widen(config, calculator.windows(settings))
        if TAIL in arguments_of(calculator) and config["losses_window"] == 0:
            config["losses_window"] = config[f"{calculator.name}_window_bars"]
    for entry in policy.calculators.outside.values():
        if entry.loaded is not None:
            _widen(config, entry.windows)
    # Drawdowns and returns of whole arrays; then losses and their tail, or a tail of latencies.
    put_down = max(2 * config["returns_window"], config["order_latencies_us_window"])
    config["workspace_size"] = config["drawdowns_window"] + config["returns_window"] + put_down
    _lay_out(config)
    return config


def _widen(config: np.ndarray[Any, Any], windows: Mapping[str, int]) -> None:
    """Makes windows as long as another calculator needs them."""
    for series, length in windows.items():
        name, bars = ("timestamps", SPACINGS + 1) if series == TRADES else (series, length)
        window = config[f"{name}_window"]
        window[0] = max(window[0], bars)


def _lay_out(config: np.ndarray[Any, Any]) -> None:
    """Says where the buffer of each series begins, which is twice as long as its window."""
    offset = 0
    for series in SERIES:
        config[f"{series}_offset"] = offset
        offset += 2 * int(config[f"{series}_window"][0])


def _number(value: Any, info: FieldInfo) -> Any:
    if info.default == AUTO:
        return 0.0 if value == AUTO else value
    if get_origin(info.annotation) is Literal:
        return get_args(info.annotation).index(value)
    return value
