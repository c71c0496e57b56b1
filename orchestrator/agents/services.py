"""Opens the clients of the services as the settings say, and says how a person calls them."""

import shlex

import grpc

from orchestrator.settings import ServiceAddresses
from tradewind.rpc.access.token import read_token
from tradewind.rpc.clients import AsyncInferenceClient, AsyncRiskClient
from tradewind.rpc.tls import client_credentials
from tradewind.tracing import Tracer

__all__ = ["open_inference", "open_risk", "resume_command"]


def open_inference(
    services: ServiceAddresses, *, tracer: Tracer | None = None
) -> AsyncInferenceClient:
    """A client of the inference service.

    Args:
        services: Where it listens, and who calls.
        tracer: Gives every call a span; none by default.

    Raises:
        SettingsError: A certificate or the token cannot be read.
    """
    credentials, token = _identity(services)
    return AsyncInferenceClient(
        services.inference, credentials=credentials, token=token, tracer=tracer
    )


def open_risk(
    services: ServiceAddresses, *, timeout_s: float | None = None, tracer: Tracer | None = None
) -> AsyncRiskClient:
    """A client of the risk service.

    Args:
        services: Where it listens, and who calls.
        timeout_s: Deadline of a call that is given none, in seconds; by default the service's.
        tracer: Gives every call a span; none by default.

    Raises:
        SettingsError: A certificate or the token cannot be read.
    """
    credentials, token = _identity(services)
    return AsyncRiskClient(
        services.risk, timeout_s=timeout_s, credentials=credentials, token=token, tracer=tracer
    )


def resume_command(services: ServiceAddresses, account: str) -> str:
    """A shell command by which a person resumes a halted account; name and reason are theirs."""
    words = ["tradewind"]
    if services.tls is not None:
        files = {
            "--ca": services.tls.ca,
            "--cert": services.tls.certificate,
            "--key": services.tls.key,
        }
        words += [word for name, path in files.items() if path for word in (name, str(path))]
    if services.token_file is not None:
        words += ["--token-file", "YOUR_TOKEN"]
    words += ["risk", "resume", account, "--address", services.risk]
    words += ["--name", "NAME", "--role", "risk_officer", "--reason", "REASON"]
    return shlex.join(words)


def _identity(services: ServiceAddresses) -> tuple[grpc.ChannelCredentials | None, str | None]:
    tls, token_file = services.tls, services.token_file
    return (
        None if tls is None else client_credentials(tls),
        None if token_file is None else read_token(token_file),
    )
