"""RiskAgentV2: the metrics of an account under one risk policy."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tradewind.risk.batch import BatchBar, BatchRiskTracker
from tradewind.risk.engine.arrays import (
    CONTRADICTION,
    AccountArrays,
    calculate_arrays,
    series_of,
)
from tradewind.risk.engine.plan import Plan
from tradewind.risk.engine.reporting import Calculation, build_report, raise_contradiction
from tradewind.risk.engine.snapshot import (
    HEADER_SIZE,
    POSITION_COUNT,
    names_of,
    pack_snapshot,
    set_shock_rows,
)
from tradewind.risk.engine.state import NEEDS_WORKSPACE
from tradewind.risk.inputs import FloatArray, RiskInputs
from tradewind.risk.outside.inputs import Account
from tradewind.risk.outside.running import CalculatorCost
from tradewind.risk.policy import RiskPolicy
from tradewind.risk.report import RiskReport
from tradewind.risk.tracker import RiskTracker

__all__ = ["RiskAgentV2"]


class RiskAgentV2:
    """Calculates the risk metrics of a policy; holds no state of any account.

    Safe to share between threads. The kernels are compiled at their first use and cached on disk:
    a service calls `warm_up` before it takes calls.

    Args:
        policy: What to calculate, how, and within which limits.
    """

    def __init__(self, policy: RiskPolicy) -> None:
        self._plan = Plan(policy)

    @classmethod
    def from_yaml(cls, path: Path | str) -> "RiskAgentV2":
        """Builds an agent from a policy file such as config/risk_limits.yaml.

        Raises:
            RiskPolicyError: The file cannot be read or a setting is refused; each with its line.
        """
        return cls(RiskPolicy.from_yaml(path))

    @property
    def policy(self) -> RiskPolicy:
        """The policy this agent calculates under."""
        return self._plan.policy

    @property
    def policy_digest(self) -> str:
        """Its digest."""
        return self._plan.digest

    def costs(self) -> Mapping[str, CalculatorCost]:
        """What each calculator from outside has cost, by name."""
        return {} if self._plan.outside is None else dict(self._plan.outside.costs())

    def warm_up(self) -> None:
        """Loads every kernel, compiling those that are not in the cache."""
        self.calculate_only(RiskInputs())
        self.tracker().update(RiskInputs())
        batch, bar = self.batch(1, ("",), 1.0), BatchBar.zeros(1, 1)
        batch.begin(np.zeros(1, dtype=np.int64), bar)
        bar.timestamps[:] = 1.0
        batch.update(bar)

    def tracker(self) -> RiskTracker:
        """A tracker of one account: the same metrics from what is new about it."""
        return RiskTracker(self._plan)

    def batch(
        self,
        count: int,
        symbols: Sequence[str],
        capital_base: float,
        periods_per_year: float | None = None,
    ) -> BatchRiskTracker:
        """Trackers of `count` accounts that step together.

        Args:
            count: How many.
            symbols: What they trade, in the order of the columns of a bar.
            capital_base: Capital that turnover and leverage are fractions of.
            periods_per_year: Bars in a year; None where the policy states them.
        """
        return BatchRiskTracker(self._plan, count, symbols, capital_base, periods_per_year)

    def calculate_only(self, inputs: RiskInputs | Mapping[str, Any]) -> RiskReport:
        """Calculates every enabled metric from whole arrays; enforces nothing.

        Args:
            inputs: The account, or a mapping with the fields of RiskInputs.

        Raises:
            RiskInputError: The inputs contradict themselves; each violation names its field.
        """
        if not isinstance(inputs, RiskInputs):
            inputs = RiskInputs.from_mapping(inputs)
        result, remark_count, said = self._run(inputs)
        return build_report(self._plan, result, remark_count, inputs, said)

    def calculate(self, inputs: RiskInputs | Mapping[str, Any]) -> Calculation:
        """Does what `calculate_only` does and leaves the words for later."""
        if not isinstance(inputs, RiskInputs):
            inputs = RiskInputs.from_mapping(inputs)
        result, remark_count, said = self._run(inputs)
        return Calculation(
            self._plan, result, remark_count, lambda: inputs, lambda: names_of(inputs), said
        )

    def calculate_arrays(
        self, arrays: AccountArrays, names: Sequence[str], snapshot: Callable[[], RiskInputs]
    ) -> Calculation:
        """Does what `calculate` does, for a caller that has the engine's arrays already.

        Args:
            arrays: The account. The rows of the shocks in its snapshot are written here.
            names: Of its positions, options, feeds and books, in this order.
            snapshot: Gives its inputs; called only when something of them has to be named.

        Raises:
            RiskInputError: The inputs contradict themselves; each violation names its field.
        """
        header = arrays.snapshot[:HEADER_SIZE]
        plan = self._plan
        set_shock_rows(arrays.snapshot, names, plan.shock_rows)
        named = (header[POSITION_COUNT:].tobytes(), *names)
        result, remark_count, said = self._calculate(arrays, snapshot)
        return Calculation(plan, result, remark_count, snapshot, lambda: named, said)

    def _calculate(
        self, arrays: AccountArrays, snapshot: Callable[[], RiskInputs]
    ) -> tuple[FloatArray, int, tuple[str, ...]]:
        """As `_run`, with the calculators from outside."""
        plan, result = self._plan, self._plan.new_result()
        account, workspace = plan.account, plan.workspace
        if plan.outside is not None:  # which have to find there what the kernel has left
            account, workspace = np.empty_like(account), np.empty_like(workspace)
        remark_count = calculate_arrays(
            plan.config, plan.limits, plan.shocks, *arrays, account, workspace, result
        )
        if remark_count == NEEDS_WORKSPACE:
            plan.grow_workspace()
            return self._calculate(arrays, snapshot)
        if remark_count == CONTRADICTION:
            raise_contradiction(result)
        if plan.outside is None:
            return result, remark_count, ()
        config = plan.config[0]
        series = series_of(config, arrays, workspace)
        told = Account(config, account[0], arrays.snapshot, series, snapshot)
        return result, *plan.outside.run(told, result)

    def _run(self, inputs: RiskInputs) -> tuple[FloatArray, int, tuple[str, ...]]:
        """The result, how many metrics are unavailable or have a note, and reasons in words."""
        plan = self._plan
        packed = pack_snapshot(inputs, plan.shock_rows)
        if plan.outside is not None:
            return self._calculate(AccountArrays.of(packed, inputs), lambda: inputs)
        result = plan.new_result()
        # One by one: a tuple of them would take longer to build and to unpack than to pass.
        remark_count = calculate_arrays(
            plan.config,
            plan.limits,
            plan.shocks,
            packed,
            inputs.portfolio_values,
            inputs.timestamps,
            inputs.returns,
            inputs.price_changes,
            inputs.order_flows,
            inputs.order_latencies_us,
            inputs.trade_timestamps,
            inputs.trade_notionals,
            plan.account,
            plan.workspace,
            result,
        )
        if remark_count == NEEDS_WORKSPACE:
            plan.grow_workspace()
            return self._run(inputs)
        if remark_count == CONTRADICTION:
            raise_contradiction(result)
        return result, remark_count, ()
