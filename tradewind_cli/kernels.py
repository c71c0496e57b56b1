"""Kernels in the groups in which they are compiled ahead.

    python -m tradewind_cli.kernels risk market   # in this process, where NumPy and Numba will do
    tradewind doctor --compile                    # all that are missing, side by side

What is not compiled ahead is compiled where it is first needed, one kernel after the other.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np

from tradewind.kernels.compiled import cache_folder, is_compiled

__all__ = ["GROUPS", "Group", "missing_groups"]


@dataclass(frozen=True)
class Group:
    """Kernels that one process compiles.

    No kernel belongs to two groups: Numba's cache takes no two writers.

    Attributes:
        run: Runs each of them once.
        entries: Those that call the others, as `module:name`: where they are compiled, all are.
    """

    run: Callable[[], None]
    entries: tuple[str, ...]

    def kernels(self) -> list[Callable[..., Any]]:
        """The entries that can be imported here: not every extra is installed everywhere."""
        found = []
        for entry in self.entries:
            module, _, name = entry.partition(":")
            try:
                found.append(getattr(import_module(module), name))
            except ModuleNotFoundError:
                continue
        return found


def _risk() -> None:
    from tradewind.risk import RiskAgentV2, RiskPolicy

    RiskAgentV2(RiskPolicy()).warm_up()


def _messages() -> None:
    from tradewind.rpc.risk.risk_scan import scan_request

    scan_request(b"")


def _market() -> None:
    from tradewind.market import (
        Account,
        FeaturePipeline,
        FeatureSpec,
        Holdings,
        TradingTerms,
        load_sample,
    )

    spec, bars = FeatureSpec(), load_sample("BTC").slice(0, 2_000)
    pipeline = FeaturePipeline(spec)
    for index in range(spec.lookback):
        pipeline.update(bars.bar(index))
    account = Account(1.0, 1.0)
    account.apply_fill(1.0, 1.0, reference_price=1.0, fee=0.0)
    account.fill_toward(0.0, 1.0, transaction_cost=0.0, slippage=0.0, rebalance_threshold=0.0)
    account.close_bar(1.0)
    pipeline.observation(account.position)
    holdings = Holdings(1.0, [1.0])
    holdings.apply_fill(0, 1.0, 1.0, reference_price=1.0, fee=0.0)
    holdings.plan_trades(np.zeros(1), TradingTerms())
    holdings.close_bars({0: 1.0})
    try:
        from trainer_service.environment import IntradayTradingEnv, VectorizedTradingEnv
    except ModuleNotFoundError:
        return
    env = IntradayTradingEnv(bars)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    copies = VectorizedTradingEnv(bars, n_envs=2)
    copies.reset()
    copies.step(np.ones(2, dtype=np.int64))
    copies.observations()


def _networks() -> None:
    from tradewind.policy.compiled_network import CompiledNetwork, LoweredNetwork
    from tradewind.policy.program_builder import ProgramBuilder

    builder = ProgramBuilder((1,))
    program = builder.build(builder.observation, np.float32)
    CompiledNetwork(LoweredNetwork(program, program)).warm_up(np.zeros((1, 1), np.float32))


# The longest one first: with two cores it takes as long as all the others.
GROUPS: Final = {
    "risk": Group(
        _risk,
        (
            "tradewind.risk.engine.arrays:calculate_arrays",
            "tradewind.risk.engine.tracking:update_row",
            "tradewind.risk.engine.stepping:update_rows",
        ),
    ),
    "messages": Group(_messages, ("tradewind.rpc.risk.risk_scan:scan_request",)),
    "market": Group(
        _market,
        (
            "tradewind.market.feature_kernels:write_market_row",
            "tradewind.market.holdings:plan_trades",
            "trainer_service.environment.kernels:step_account",
            "trainer_service.environment.copies:observe_copies",
        ),
    ),
    "networks": Group(_networks, ("tradewind.policy.program:run_program_unlocked",)),
}


def missing_groups(names: Sequence[str] = tuple(GROUPS)) -> dict[str, str]:
    """The groups that are not compiled yet, each with the folder that keeps it.

    None is where nothing can be kept: whoever compiles there does it for itself alone.
    """
    missing = {}
    for name in names:
        for kernel in GROUPS[name].kernels():
            folder = cache_folder(kernel)
            if folder is not None and not is_compiled(kernel):
                missing[name] = folder
    return missing


if __name__ == "__main__":
    for _name in sys.argv[1:]:
        GROUPS[_name].run()
