"""Compiles every kernel into the cache on disk, so that nothing that starts later waits for it.

    python tools/compile_kernels.py

Services compile what is missing before they say that they are ready; here it happens once, as a
step of the installation.
"""

import time
from pathlib import Path

import numpy as np

from tradewind.market import Account, FeaturePipeline, Holdings, TradingTerms, load_sample
from tradewind.policy import TorchScriptPolicy
from tradewind.risk import RiskAgentV2, RiskPolicy
from tradewind.rpc.risk.risk_scan import scan_request
from trainer_service.environment import IntradayTradingEnv, VectorizedTradingEnv

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ROOT / "tests" / "contract" / "bundle" / "store_v1"


def main() -> None:
    """Runs whatever is compiled, once."""
    started = time.monotonic()
    agent = RiskAgentV2(RiskPolicy.from_yaml(ROOT / "config" / "risk_limits.yaml"))
    agent.warm_up()
    scan_request(b"")
    bars = load_sample("BTC").slice(0, 2_000)
    env = IntradayTradingEnv(bars)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    copies = VectorizedTradingEnv(bars, n_envs=2, risk=agent)
    copies.reset()
    copies.step(np.ones(2, dtype=np.int64))
    copies.observations()
    pipeline = FeaturePipeline(env.feature_spec)
    for index in range(env.feature_spec.lookback):
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
    for bundle in sorted(BUNDLES.glob("*/*")):
        TorchScriptPolicy.load_bundle(bundle)
    print(f"kernels compiled and cached in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
