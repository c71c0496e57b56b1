"""Serves a bundle and its risk policy on loopback, asks both what an orchestrator asks, and stops.

    python examples/deploy_policy.py bundles/btc-risk-aware/<version>

Exits with 1 when the p99 of the model compute misses its objective.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from tradewind.bundle import Bundle, read_bundle
from tradewind.market import load_sample
from tradewind.risk import Position, RiskInputs
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient, RiskClient
from tradewind.urls import sqlite_url

RISK_POLICY = Path(__file__).parents[1] / "config" / "risk_limits.yaml"
LOOPBACK = ("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")


def ask_inference(client: InferenceClient, bundle: Bundle, calls: int) -> bool:
    """Predicts on the bundle's recorded observations; says whether its objective was met."""
    golden, name = bundle.golden, bundle.metadata.name
    answer = client.predict(golden.observations[0], policy=name)
    print(f"predict: {answer.policy} {answer.version} gives {answer.action}")
    assert np.all(answer.action == golden.actions[0]), "what it was published with"
    with client.predict_stream() as stream:
        for call in range(calls):
            stream.predict(golden.observations[call % len(golden.observations)], policy=name)
    (report,) = client.latency_reports()
    met = report.p99_us <= report.slo_us
    print(
        f"model compute: p50 {report.p50_us:.1f} µs, p99 {report.p99_us:.1f} µs over "
        f"{report.call_count:,} calls; objective {report.slo_us:g} µs: {'met' if met else 'MISSED'}"
    )
    return met


def ask_risk(client: RiskClient, bundle: Bundle) -> None:
    """Calculates the risk of an account that holds one bitcoin."""
    policy = client.get_policy()
    trained_under = bundle.metadata.risk
    same = trained_under is not None and trained_under.policy_digest == policy.policy_digest
    print(f"risk policy: {'the one of the training' if same else 'NOT the one of the training'}")
    bars = load_sample("BTC")
    bars = bars.slice(len(bars) - 1_500, len(bars))
    account = RiskInputs(
        portfolio_values=bars.close,
        timestamps=bars.close_times_ns / 1e9,
        periods_per_year=bars.periods_per_year,
        positions=(Position("BTC", 1.0, float(bars.close[-1])),),
        capital_base=float(bars.close[0]),
    )
    report = client.calculate_only(account)
    print(f"risk score {report.risk_score:.3f}, penalty {report.penalty:.3f}")
    for name in ("max_drawdown", "expected_shortfall_95", "gross_leverage"):
        print(f"  {name:<24}{report.metric_values[name]:.4f}")
    for name, reason in sorted(report.unavailable.items()):
        print(f"  {name:<24}unavailable: {reason}")


def main() -> int:
    """Starts the services, asks them, and stops them."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("bundle", type=Path, help="folder STORE/POLICY/VERSION")
    parser.add_argument("--calls", type=int, default=2_000, help="predictions to measure")
    arguments = parser.parse_args()
    folder: Path = arguments.bundle
    bundle = read_bundle(folder)

    with tempfile.TemporaryDirectory() as scratch:
        logs = Path(scratch)
        store = ("--store", str(folder.parents[1]))
        audit = ("--policy", str(RISK_POLICY), "--database", sqlite_url(logs / "audit.sqlite"))
        with (
            ServiceProcess(
                "inference_service", [*LOOPBACK, *store], log=logs / "inference.log"
            ) as inference_service,
            ServiceProcess("risk_service", [*LOOPBACK, *audit], log=logs / "risk.log") as service,
            InferenceClient(inference_service.address) as inference,
            RiskClient(service.address) as risk,
        ):
            inference.wait_ready(timeout_s=60)
            met = ask_inference(inference, bundle, arguments.calls)
            ask_risk(risk, bundle)
    print("both services have stopped")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
