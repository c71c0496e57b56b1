"""Roles of certificates and tokens, at real services."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml
from prometheus_client import CollectorRegistry

from tools.certificates import make_certificates
from tradewind.errors import (
    PermissionDeniedError,
    SettingsError,
    TradewindError,
    UnauthenticatedError,
)
from tradewind.risk import RiskInputs
from tradewind.rpc import RpcServer, ServerSettings, ServiceProcess, error_from_rpc
from tradewind.rpc.access import METHOD_ROLES, bearer_metadata, make_token
from tradewind.rpc.access.token import read_token
from tradewind.rpc.clients import (
    AsyncRiskClient,
    CalculateStream,
    InferenceClient,
    RiskClient,
)
from tradewind.rpc.server.health import is_healthy
from tradewind.rpc.tls import ClientTls, client_credentials
from tradewind.settings import parse_settings
from tradewind_cli.__main__ import main

ROOT = Path(__file__).parents[3]
STORE = ROOT / "tests" / "contract" / "bundle" / "store_v1"
CALM = RiskInputs(portfolio_values=np.array([100.0, 101.0, 100.5]))
CRASHED = RiskInputs(portfolio_values=np.array([100.0, 50.0]))
ROLES = {
    "bot": ["predict", "calculate", "evaluate"],
    "alice": ["resume"],
    "trainee": ["train"],
    "carol": ["admin"],
}
CERTIFIED = ("bot", "alice")


@dataclass
class Stack:
    """Three services that share an access policy: inference in plain text, the others with mTLS."""

    folder: Path
    addresses: dict[str, str]
    unix: str

    def token(self, name: str) -> str:
        return read_token(self.folder / f"{name}.token")

    def tls(self, name: str) -> ClientTls:
        paths = {"certificate": self.folder / f"{name}.crt", "key": self.folder / f"{name}.key"}
        return ClientTls(ca=self.folder / "ca.crt", **paths)

    def risk(self, certificate: str, token: str | None = None) -> RiskClient:
        credentials = client_credentials(self.tls(certificate))
        shown = None if token is None else self.token(token)
        address = self.addresses["risk"]
        return RiskClient(address, credentials=credentials, token=shown, timeout_s=20.0)

    def channel(self, service: str) -> grpc.Channel:
        if service == "inference":
            return grpc.insecure_channel(self.addresses[service])
        return grpc.secure_channel(
            self.addresses[service], client_credentials(self.tls("stranger"))
        )

    def write_policy(self, identities: dict[str, Any]) -> None:
        path = self.folder / "access.yaml"
        new = path.with_suffix(".new")
        new.write_text(yaml.safe_dump({"identities": identities}))
        new.replace(path)


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("access")
    authority = make_certificates(folder)
    found: dict[str, Any] = {}
    for name, roles in ROLES.items():
        found[name] = {"roles": roles, "tokens": [make_token(folder / f"{name}.token")]}
        if name in CERTIFIED:
            authority.issue(folder, name, name, server=False)
            found[name]["certificates"] = [name]
    found["alice"]["resumes_as"] = "risk_officer"
    authority.issue(folder, "stranger", "stranger", server=False)
    make_token(folder / "stranger.token")
    return folder, found


@pytest.fixture(scope="module")
def stack(identities: tuple[Path, dict[str, Any]]) -> Iterator[Stack]:
    folder, found = identities
    unix = f"unix:{folder}/inference.sock"
    stack = Stack(folder, {}, unix)
    stack.write_policy(found)
    tls = {
        "certificate": str(folder / "server.crt"),
        "key": str(folder / "server.key"),
        "client_ca": str(folder / "ca.crt"),
    }
    server = {"listen": "127.0.0.1:0", "access": str(folder / "access.yaml"), "drain_s": 0.0}
    settings: dict[str, dict[str, Any]] = {
        "risk": {
            "server": {**server, "tls": tls},
            "policy": str(ROOT / "config" / "risk_limits.yaml"),
            "database": f"sqlite:///{folder}/audit.sqlite",
        },
        "inference": {"server": {**server, "listen": ["127.0.0.1:0", unix]}, "store": str(STORE)},
        "trainer": {
            "server": {**server, "tls": tls},
            "store": str(folder / "store"),
            "jobs": f"sqlite:///{folder}/jobs.sqlite",
        },
    }
    with ExitStack() as services:
        for name, values in settings.items():
            config = folder / f"{name}.yaml"
            config.write_text(yaml.safe_dump(values))
            process = services.enter_context(
                ServiceProcess(
                    f"{name}_service", ["--config", str(config)], log=folder / f"{name}.log"
                )
            )
            stack.addresses[name] = process.address
        yield stack


def eventually(condition: Callable[[], bool], timeout_s: float = 60.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def refusal(channel: grpc.Channel, method: str, token: str | None) -> TradewindError | None:
    """What a call of any method with an empty request is refused with; None when it is not."""
    # A stream with one request stands for a unary call: on the wire they are the same.
    call: Any = channel.stream_stream(method)
    metadata = None if token is None else bearer_metadata(token)
    try:
        next(call(iter([b""]), metadata=metadata, timeout=20.0), None)
    except grpc.RpcError as error:
        return error_from_rpc(error)
    return None


SERVICES = {
    "inference": ("inference.v1", "inference."),
    "risk": ("risk.v1",),
    "trainer": ("trainer",),
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_without_identity_or_role_is_refused_and_health_is_public(
    stack: Stack, service: str
) -> None:
    own = [
        name
        for name in METHOD_ROLES
        if any(f".{part}" in name or f"/{part}" in name for part in SERVICES[service])
        or "reflection" in name
    ]
    assert len(own) >= 6
    with stack.channel(service) as channel:
        for method in own:
            for token in (None, stack.token("stranger")):
                refused = refusal(channel, method, token)
                assert isinstance(refused, UnauthenticatedError), (method, refused)
            for name, roles in ROLES.items():
                refused = refusal(channel, method, stack.token(name))
                allowed = not METHOD_ROLES[method].isdisjoint(roles)
                assert isinstance(refused, PermissionDeniedError) != allowed, (method, name)
                assert not isinstance(refused, UnauthenticatedError)
                if not allowed:
                    assert refused is not None
                    assert refused.metadata["identity"] == name
                    assert refused.metadata["method"] == method
        assert refusal(channel, "/grpc.health.v1.Health/Check", None) is None
    assert is_healthy(stack.addresses["risk"], tls=stack.tls("stranger"))


def test_certificate_with_its_roles_gets_what_they_open_and_a_token_decides_alone(
    stack: Stack,
) -> None:
    with stack.risk("bot") as bot, stack.risk("stranger") as stranger:
        assert bot.calculate_only(CALM).metric_values["max_drawdown"] > 0.0
        with bot.calculate_stream() as metrics:
            assert metrics.update(CALM).metric_values["max_drawdown"] > 0.0
        with pytest.raises(PermissionDeniedError, match="bot may not call Resume: that takes res"):
            bot.resume("default", reason="so that I can go on")
        with pytest.raises(UnauthenticatedError, match="client certificate is not known"):
            stranger.calculate_only(CALM)
    with stack.risk("stranger", "bot") as by_token, stack.risk("bot", "stranger") as mixed:
        by_token.calculate_only(CALM)
        with pytest.raises(UnauthenticatedError, match="bearer token is not known"):
            mixed.calculate_only(CALM)


def test_token_in_plain_text_on_this_machine_opens_what_its_roles_do(stack: Stack) -> None:
    observation = np.zeros(6, dtype=np.float32)
    for address in (stack.addresses["inference"], stack.unix):
        with InferenceClient(address, token=stack.token("bot"), timeout_s=20.0) as client:
            client.wait_ready(60.0)
            assert client.predict(observation, policy="tiny-dqn").policy == "tiny-dqn"
            with client.predict_stream() as stream:
                assert stream.predict(observation, policy="tiny-dqn").policy == "tiny-dqn"
    with InferenceClient(stack.addresses["inference"], timeout_s=20.0) as client:
        with pytest.raises(UnauthenticatedError, match="token or a client certificate is required"):
            client.predict(observation, policy="tiny-dqn")


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization", "Basic YWxpY2U6eA=="),),
        (("authorization", "Bearer"),),
        "twice",
    ],
)
def test_authorization_that_is_not_one_bearer_token_is_refused(stack: Stack, metadata: Any) -> None:
    if metadata == "twice":
        metadata = bearer_metadata(stack.token("bot")) * 2
    with stack.channel("inference") as channel:
        call: Any = channel.unary_unary("/tradewind.api.inference.v1.InferenceService/ListPolicies")
        with pytest.raises(grpc.RpcError) as failed:
            call(b"", metadata=metadata, timeout=20.0)
    assert isinstance(error_from_rpc(failed.value), UnauthenticatedError)


def test_clients_on_asyncio_with_certificate_and_token_are_known(stack: Stack) -> None:
    async def ask() -> None:
        credentials = client_credentials(stack.tls("stranger"))
        token = stack.token("bot")
        async with AsyncRiskClient(
            stack.addresses["risk"], credentials=credentials, token=token, timeout_s=20.0
        ) as risk:
            await risk.calculate_only(CALM)
            async with risk.calculate_stream() as metrics:
                await metrics.update(CALM)
            with pytest.raises(PermissionDeniedError):
                await risk.resume("default", reason="so that I can go on")

    asyncio.run(ask())


def test_resume_with_an_identity_is_recorded_in_its_name_and_in_no_other(stack: Stack) -> None:
    account = "resumed"
    with stack.risk("bot") as bot, stack.risk("alice") as alice:
        assert bot.evaluate(CRASHED, account=account).halt is not None
        for name, role in (("bot", ""), ("", "head_of_desk"), ("Alice", "risk_officer")):
            with pytest.raises(PermissionDeniedError, match="may not act under another") as no:
                alice.resume(account, reason="data error", name=name, role=role)
            assert no.value.metadata["identity"] == "alice"
        alice.resume(account, reason="data error")
        bot.evaluate(CRASHED, account=account)
        alice.resume(account, name="alice", role="risk_officer", reason="again")
        rows = list(alice.list_decisions(account=account))
    resumed = [(row.actor_name, row.actor_role) for row in rows if row.actor_name]
    assert resumed == [("alice", "risk_officer")] * 2
    assert len(rows) == 4


def test_changed_policy_takes_over_under_way_and_a_bad_one_is_refused(
    stack: Stack, identities: tuple[Path, dict[str, Any]]
) -> None:
    found = identities[1]

    def may(client: RiskClient) -> bool:
        try:
            client.calculate_only(CALM)
        except PermissionDeniedError:
            return False
        return True

    def ended(stream: CalculateStream) -> bool:
        try:
            stream.update(CALM)
        except PermissionDeniedError:
            return True
        return False

    try:
        with stack.risk("bot") as bot, bot.calculate_stream() as stream:
            stream.update(CALM)
            revoked = {**found, "bot": {**found["bot"], "roles": ["predict"]}}
            stack.write_policy(revoked)
            assert eventually(lambda: not may(bot))
            assert ended(stream)  # which was open, and allowed when it began
            stack.write_policy({**found, "bot": {"roles": ["calculate"]}})
            refused = "the access policy in use stays"
            assert eventually(lambda: refused in (stack.folder / "risk.log").read_text())
            assert not may(bot)
            stack.write_policy(found)
            assert eventually(lambda: may(bot))
    finally:
        stack.write_policy(found)


def test_method_that_no_role_opens_is_closed_even_to_admins(
    stack: Stack, identities: tuple[Path, dict[str, Any]]
) -> None:
    path = identities[0] / "access.yaml"
    settings = ServerSettings(listen="127.0.0.1:0", access=path, drain_s=0.0)
    server = RpcServer("forgotten", settings, CollectorRegistry())
    reached = []

    def add(to: grpc.Server) -> None:
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            lambda request, _: reached.append(request)
        )
        to.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Forgotten", {"Call": handler}),)
        )

    server.add_service("test.Forgotten", add)
    with server.running(), grpc.insecure_channel(server.address) as channel:
        for name in ROLES:
            refused = refusal(channel, "/test.Forgotten/Call", stack.token(name))
            assert isinstance(refused, PermissionDeniedError)
            assert "no role that there is" in str(refused)
    assert reached == []


def test_command_with_certificates_and_token_calls_a_closed_trainer(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stack.folder
    files = {"ca": "ca.crt", "cert": "stranger.crt", "key": "stranger.key"}
    tls = [part for name, file in files.items() for part in (f"--{name}", str(folder / file))]
    jobs = ["jobs", "list", "--json", "--address", stack.addresses["trainer"]]
    assert main([*tls, *jobs]) == 5
    assert json.loads(capsys.readouterr().out)["error"]["reason"] == "UNAUTHENTICATED"
    assert main([*tls, "--token-file", str(folder / "trainee.token"), *jobs]) == 0
    assert json.loads(capsys.readouterr().out) == {"jobs": []}
    monkeypatch.setenv("TRADEWIND_TOKEN_FILE", str(folder / "bot.token"))
    for name, file in files.items():
        monkeypatch.setenv(f"TRADEWIND_{name.upper()}", str(folder / file))
    assert main(jobs) == 5
    assert json.loads(capsys.readouterr().out)["error"]["metadata"]["identity"] == "bot"


def test_token_for_another_machine_in_plain_text_does_not_leave(tmp_path: Path) -> None:
    path = tmp_path / "token"
    make_token(path)
    code = main(["--token-file", str(path), "jobs", "list", "--address", "192.0.2.1:50051"])
    assert code == 2


def test_access_without_tls_where_other_machines_reach_it_is_refused() -> None:
    def parse(**more: object) -> ServerSettings:
        return parse_settings({"access": "access.yaml", **more}, ServerSettings)

    parse(listen=["127.0.0.1:0", "unix:/tmp/x.sock"])
    parse(listen="0.0.0.0:0", tls={"certificate": "a.crt", "key": "a.key"})
    for allow in (False, True):
        with pytest.raises(SettingsError, match="access needs tls"):
            parse(listen=["127.0.0.1:0", "0.0.0.0:0"], allow_plaintext=allow)


def test_service_with_an_access_policy_that_is_refused_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "access.yaml"
    path.write_text("identities: {bot: {roles: [predict]}}\n")
    settings = ServerSettings(listen="127.0.0.1:0", access=path)
    with pytest.raises(SettingsError, match=r"one of them has to prove.*\(line 1\)"):
        RpcServer("closed", settings, CollectorRegistry())
