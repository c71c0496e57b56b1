"""What servers and clients share on the wire: bootstrap, errors, metrics, codecs, clients."""

from tradewind.rpc.command import Flag, run_service
from tradewind.rpc.process import ServiceProcess
from tradewind.rpc.risk_codec import (
    risk_inputs_from_message,
    risk_inputs_to_message,
    risk_report_from_message,
    risk_report_to_message,
)
from tradewind.rpc.server import RpcServer, ServerSettings
from tradewind.rpc.status import error_from_rpc, status_from_error

__all__ = [
    "Flag",
    "RpcServer",
    "ServerSettings",
    "ServiceProcess",
    "error_from_rpc",
    "risk_inputs_from_message",
    "risk_inputs_to_message",
    "risk_report_from_message",
    "risk_report_to_message",
    "run_service",
    "status_from_error",
]
