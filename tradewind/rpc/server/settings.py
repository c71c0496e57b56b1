"""What an operator can set about every Tradewind server."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from tradewind.address import UNIX, Listen, MetricsListen, host_and_port, is_loopback
from tradewind.alerts.settings import AlertSettings
from tradewind.logs import CallLogSettings
from tradewind.rpc.access import TokenVerifierSettings
from tradewind.rpc.server.limits import NetworkLimits
from tradewind.rpc.tls import ServerTls
from tradewind.settings import Settings
from tradewind.tracing import TracingSettings

__all__ = ["ServerSettings", "ServiceSettings"]


class ServerSettings(Settings):
    """What every service lets its operator set about its server."""

    listen: Listen
    """`HOST:PORT` or `unix:PATH`, or a list of them; port 0 picks a free one."""

    metrics_listen: MetricsListen = ""
    """`HOST:PORT` of the Prometheus endpoint; empty for none."""

    threads: int = Field(default=16, ge=1, le=1024)
    """Threads that run handlers. An open stream holds one of them. Health and reflection have
    others, and a call whose message has not come yet holds none."""

    compute_threads: int = Field(default=4, ge=1, le=64)
    """Threads that run the calls which do nothing but compute. Only one at a time runs Python: more
    of them answer no more, and take the turns of the thread that accepts calls, so that these wait
    unseen instead of being refused. Only the inference service has such calls: Predict,
    PredictBatch and ModelInfer."""

    max_concurrent_calls: int = Field(default=256, ge=1)
    """Calls with one request and one answer under way, from when their message has come; one more
    is refused with RESOURCE_EXHAUSTED."""

    max_message_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """Largest message taken or sent; a larger one is refused."""

    limits: NetworkLimits = NetworkLimits()
    """How much of the server callers may hold."""

    drain_s: float = Field(default=0.2, ge=0.0)
    """Seconds between NOT_SERVING and the refusal of new calls, for load balancers."""

    grace_s: float = Field(default=10.0, ge=0.0)
    """Seconds that calls under way get to end before they are cancelled."""

    tls: ServerTls | None = None
    """Certificates; without, connections are in plain text. Unix sockets always are."""

    allow_plaintext: bool = False
    """Lets other machines connect in plain text, as in a network of containers; not together with
    access, since nobody could prove who they are."""

    logging: CallLogSettings = CallLogSettings()
    """What is written to standard error."""

    access: Path | None = None
    """The access policy, which says who may call what; without, everybody may."""

    token_verifier: TokenVerifierSettings | None = None
    """A part of one's own that says whose a bearer token is where the access policy does not have
    its digest; goes with access."""

    tracing: TracingSettings | None = None
    """Where spans of the calls go; without, there are none."""

    @property
    def stream_count(self) -> int:
        """Streams that may be open at once."""
        return self.limits.streams or max(1, self.threads // 2)

    @model_validator(mode="after")
    def _check_streams(self) -> Self:
        if self.limits.streams is not None and self.limits.streams >= self.threads:
            raise ValueError(
                f"limits.streams is {self.limits.streams}, which leaves no other call any of the "
                f"{self.threads} threads"
            )
        return self

    @model_validator(mode="after")
    def _check_verifier(self) -> Self:
        if self.token_verifier is not None and self.access is None:
            raise ValueError("token_verifier goes with access, which says what an identity may do")
        return self

    @model_validator(mode="after")
    def _refuse_plaintext_from_afar(self) -> Self:
        for listen in self.listen if self.tls is None else ():
            if listen.startswith(UNIX) or is_loopback(host_and_port(listen)[0]):
                continue
            exposed = f"listen: {listen} is reached from other machines in plain text"
            if self.access is not None:
                raise ValueError(f"{exposed}, where no token is safe: access needs tls")
            if not self.allow_plaintext:
                raise ValueError(
                    f"{exposed}: set tls, or allow_plaintext: true where the network is trusted"
                )
        return self


class ServiceSettings(Settings):
    """What the settings of every service have."""

    server: ServerSettings
    """The gRPC server."""

    alerts: AlertSettings | None = None
    """Whom to tell of what must not wait; nobody by default."""
