"""What servers and clients share on the wire: bootstrap, errors, metrics, codecs, clients.

The codec of the risk service and the clients are imported by their own names: they bring the
compiled risk kernels along, which the inference service does without.
"""

from tradewind.process.command import Flag
from tradewind.rpc.process import ServiceProcess
from tradewind.rpc.server.command import run_service
from tradewind.rpc.server.server import RpcServer
from tradewind.rpc.server.settings import ServerSettings, ServiceSettings
from tradewind.rpc.status import error_from_rpc, status_from_error

__all__ = [
    "Flag",
    "RpcServer",
    "ServerSettings",
    "ServiceProcess",
    "ServiceSettings",
    "error_from_rpc",
    "run_service",
    "status_from_error",
]
