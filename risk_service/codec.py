"""Between the service's messages and the domain; nothing here decides."""

from risk_service.policy_source import LoadedPolicy
from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import FieldViolation, RiskInputError
from tradewind.risk import RiskInputs
from tradewind.risk.calculators import CALCULATORS
from tradewind.rpc import risk_inputs_from_message

__all__ = ["read_inputs", "write_policy"]

_SERIES = (
    "portfolio_values",
    "timestamps",
    "returns",
    "trades",
    "positions",
    "price_changes",
    "order_flows",
    "order_latencies_us",
    "options",
)


def read_inputs(message: risk_pb2.RiskInputs, max_series_values: int) -> RiskInputs:
    """The snapshot that a message carries.

    Raises:
        RiskInputError: A series is too long, or the snapshot contradicts itself.
    """
    lengths = {name: len(getattr(message, name)) for name in _SERIES}
    for symbol, book in message.order_books.items():
        lengths[f"order_books[{symbol!r}]"] = len(book.bids) + len(book.asks)
    violations = [
        FieldViolation(name, f"{length} given, at most {max_series_values} allowed")
        for name, length in lengths.items()
        if length > max_series_values
    ]
    if violations:
        raise RiskInputError("risk inputs are refused", violations)
    return risk_inputs_from_message(message)


def write_policy(loaded: LoadedPolicy, refusal: str) -> risk_pb2.GetRiskPolicyResponse:
    """The policy in force, and why the file as it now stands is not."""
    policy = loaded.policy
    return risk_pb2.GetRiskPolicyResponse(
        policy_digest=loaded.digest,
        limits=policy.rule_limits(),
        calculators=[
            calculator.name
            for calculator in CALCULATORS
            if policy.calculators.of(calculator.name).enabled
        ],
        canonical_json=policy.canonical_json(),
        rules=[rule.name for rule in policy.rules],
        refusal=refusal,
    )
