"""Command line of the risk service: `python -m risk_service --config config/risk.yaml`."""

import contextlib
import logging
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, ProcessCollector

from risk_service.audit.database import Database
from risk_service.audit.trail import AuditTrail
from risk_service.evaluation import Evaluator
from risk_service.policy_source import PolicySource
from risk_service.servicer import RiskServicer, add_to_server
from risk_service.settings import RiskServiceSettings
from risk_service.telemetry import Telemetry
from tradewind.alerts import AlertKind, Alerts, alerts_of
from tradewind.api.risk.v1 import risk_pb2
from tradewind.errors import SettingsError
from tradewind.process.scheduling import pin_to_core
from tradewind.risk.decision import Halt
from tradewind.rpc import Flag, RpcServer, run_service

__all__ = ["main", "risk_server"]

_LOG = logging.getLogger(__name__)

_FLAGS = (
    Flag("--policy", "policy", "the risk policy", "FILE"),
    Flag("--overlay", "overlay", "limits stricter than the policy's", "FILE"),
    Flag("--database", "database", "where halts and the audit trail live", "URL"),
    Flag("--journal", "journal", "local file that makes decisions durable", "FILE"),
)


@contextlib.contextmanager
def risk_server(
    settings: RiskServiceSettings, on_made: Callable[[RpcServer], None] = lambda _: None
) -> Iterator[RpcServer]:
    """Runs the service inside the block; calls are answered from its begin on.

    Args:
        settings: What the operator set.
        on_made: Called with the server before it compiles and opens anything.

    Raises:
        SettingsError: An address cannot be listened on.
        RiskPolicyError: The risk policy is refused.
        StorageError: The audit trail cannot be opened.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    telemetry = Telemetry(registry)
    service = risk_pb2.DESCRIPTOR.services_by_name["RiskService"].full_name
    server = RpcServer(
        "risk_service",
        settings.server,
        registry,
        services=(service,),
        streams=settings.max_streams,
    )
    on_made(server)
    with contextlib.ExitStack() as stack:
        stack.enter_context(server.open())  # compiling the kernels may take minutes
        policies = PolicySource(
            settings.policy,
            settings.policy_poll_s,
            telemetry,
            overlay=settings.overlay,
            may_loosen=settings.policy_may_loosen,
        )
        stack.callback(policies.close)
        trail = _open_trail(settings)
        stack.callback(trail.close)
        alerts = stack.enter_context(alerts_of(settings.alerts, "risk_service"))
        evaluator = Evaluator(
            policies,
            trail,
            telemetry,
            resume_roles=settings.resume_roles,
            max_accounts=settings.max_accounts,
            on_halt=partial(_tell_halt, server, settings.resume_roles, alerts),
        )
        servicer = RiskServicer(
            policies,
            evaluator,
            trail,
            telemetry,
            caller_of=server.caller_of,
            max_series_values=settings.max_series_values,
        )
        server.add_service(service, lambda grpc_server: add_to_server(servicer, grpc_server))
        stack.enter_context(server.running())
        server.set_serving(True)
        yield server


def _tell_halt(
    server: RpcServer, roles: frozenset[str], alerts: Alerts | None, account: str, halt: Halt
) -> None:
    """Says rule, value, limit and the way out, to the log and to people."""
    text = f"{halt.action.name} by rule {halt.rule}: {halt.reason} (decision {halt.decision_id})"
    role = min(roles, default="ROLE")
    resume = f"tradewind risk resume {shlex.quote(account)} --address {server.address} "
    resume += f"--name NAME --role {role} --reason REASON"
    _LOG.warning("account %s: %s; until a person resumes it: %s", account, text, resume)
    if alerts is not None:
        text += f"\nto resume: {resume}"
        alerts.trouble(AlertKind.HALT, account, text, halt.decision_id)


def _open_trail(settings: RiskServiceSettings) -> AuditTrail:
    database = Database(settings.database)
    journal = settings.journal
    if journal is None:
        if database.file is None:
            raise SettingsError("journal: required with PostgreSQL; name a local file")
        journal = database.file.with_name(database.file.name + ".journal")
    return AuditTrail(database, journal)


def _serve(settings: RiskServiceSettings) -> None:
    if settings.pin_cpu:
        pin_to_core(0)
    # At once: a container's first process would ignore a signal that comes while it starts.
    with risk_server(settings, RpcServer.stop_on_signals) as server:
        server.announce_ready()
        server.wait_for_signal()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit code."""
    return run_service(
        "risk_service",
        "Risk metrics, rules, durable halts and their audit over gRPC.",
        RiskServiceSettings,
        _serve,
        _FLAGS,
        arguments,
    )
