"""The services over TLS: who gets in, and certificates that change under way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import yaml

from tools.certificates import Authority, make_certificates, write
from tradewind.errors import SettingsError, UnavailableError
from tradewind.risk import RiskInputs
from tradewind.rpc import ServerSettings, ServiceProcess
from tradewind.rpc.clients import InferenceClient, RiskClient, TrainerClient
from tradewind.rpc.server.health import is_healthy
from tradewind.rpc.tls import ClientTls, ServerTls, client_credentials, server_credentials
from tradewind.settings import parse_settings

ROOT = Path(__file__).parents[3]
STORE = ROOT / "tests" / "contract" / "bundle" / "store_v1"
CALM = RiskInputs(portfolio_values=np.array([100.0, 101.0, 100.5]))


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    make_certificates(folder)
    return folder


def start(service: str, folder: Path, certs: Path, *, mutual: bool = True) -> ServiceProcess:
    own: dict[str, dict[str, Any]] = {
        "trainer": {"store": str(folder), "jobs": f"sqlite:///{folder}/jobs.sqlite"},
        "inference": {"store": str(STORE), "workers": 2},
        "risk": {
            "policy": str(ROOT / "config" / "risk_limits.yaml"),
            "database": f"sqlite:///{folder}/audit.sqlite",
        },
    }
    tls = {"certificate": str(certs / "server.crt"), "key": str(certs / "server.key")}
    if mutual:
        tls["client_ca"] = str(certs / "ca.crt")
    config = folder / f"{service}.yaml"
    server = {"listen": "127.0.0.1:0", "tls": tls}
    config.write_text(yaml.safe_dump({"server": server, **own[service]}))
    arguments = ["--config", str(config)]
    return ServiceProcess(f"{service}_service", arguments, log=folder / f"{service}.log")


def credentials(certs: Path, *, own: bool = True) -> grpc.ChannelCredentials:
    return client_credentials(tls_of(certs, own=own))


def tls_of(certs: Path, *, own: bool = True) -> ClientTls:
    if not own:
        return ClientTls(ca=certs / "ca.crt")
    return ClientTls(
        ca=certs / "ca.crt", certificate=certs / "client.crt", key=certs / "client.key"
    )


@pytest.fixture(scope="module")
def risk(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[ServiceProcess]:
    with start("risk", tmp_path_factory.mktemp("risk"), certs) as service:
        yield service


def test_every_service_over_mutual_tls_answers_who_has_a_certificate(
    tmp_path: Path, certs: Path, risk: ServiceProcess
) -> None:
    own = credentials(certs)
    with RiskClient(risk.address, credentials=own, timeout_s=10.0) as client:
        assert client.calculate_only(CALM).metric_values["max_drawdown"] > 0.0
    with start("trainer", tmp_path, certs) as trainer:
        with TrainerClient(trainer.address, credentials=own, timeout_s=10.0) as jobs:
            assert list(jobs.list_jobs()) == []
    with start("inference", tmp_path, certs) as inference:
        with InferenceClient(inference.address, credentials=own, timeout_s=10.0) as predictions:
            predictions.wait_ready(30.0)
            answer = predictions.predict(np.zeros(6, dtype=np.float32), policy="tiny-dqn")
            assert answer.policy == "tiny-dqn"


def test_mutual_tls_refuses_plain_text_no_certificate_and_foreign_ones(
    tmp_path: Path, certs: Path, risk: ServiceProcess
) -> None:
    foreign = tmp_path / "foreign"
    make_certificates(foreign)
    write(foreign / "ca.crt", (certs / "ca.crt").read_bytes())  # believes us, is not believed
    for refused in (None, credentials(certs, own=False), credentials(foreign)):
        with (
            RiskClient(risk.address, credentials=refused, timeout_s=10.0) as client,
            pytest.raises(UnavailableError),
        ):
            client.calculate_only(CALM)
    assert is_healthy(risk.address, tls=tls_of(certs))
    assert not is_healthy(risk.address, timeout_s=1.0)


def test_a_server_that_is_not_signed_by_our_root_is_not_believed(
    tmp_path: Path, certs: Path, risk: ServiceProcess
) -> None:
    other = tmp_path / "other"
    make_certificates(other)
    mixed = ClientTls(
        ca=other / "ca.crt", certificate=certs / "client.crt", key=certs / "client.key"
    )
    with (
        RiskClient(risk.address, credentials=client_credentials(mixed), timeout_s=10.0) as client,
        pytest.raises(UnavailableError),
    ):
        client.calculate_only(CALM)


def test_replaced_certificates_serve_new_connections_and_broken_ones_are_refused(
    tmp_path: Path,
) -> None:
    certs = tmp_path / "certs"
    make_certificates(certs)
    old = credentials(certs)
    with start("risk", tmp_path, certs) as risk:
        check_replaced_certificates(certs, risk, old)


def check_replaced_certificates(
    certs: Path, risk: ServiceProcess, old: grpc.ChannelCredentials
) -> None:
    with RiskClient(risk.address, credentials=old, timeout_s=10.0) as open_before:
        open_before.calculate_only(CALM)
        write(certs / "server.key", b"not a key")
        with RiskClient(risk.address, credentials=old, timeout_s=10.0) as client:
            client.calculate_only(CALM)  # the last good ones stay

        make_certificates(certs)
        (certs / "server.key").chmod(0o644)
        with RiskClient(risk.address, credentials=old, timeout_s=10.0) as client:
            client.calculate_only(CALM)  # a key that others may read is none

        authority = Authority("A new root")
        authority.issue(certs, "server", "tradewind", server=True)
        authority.issue(certs, "client", "orchestrator", server=False)
        authority.save(certs)
        with RiskClient(risk.address, credentials=credentials(certs), timeout_s=10.0) as client:
            client.calculate_only(CALM)
        with (
            RiskClient(risk.address, credentials=old, timeout_s=10.0) as client,
            pytest.raises(UnavailableError),
        ):
            client.calculate_only(CALM)
        open_before.calculate_only(CALM)


@pytest.mark.parametrize(
    ("listen", "refused"),
    [
        ("127.0.0.1:0", False),
        ("[::1]:0", False),
        ("localhost:0", False),
        ("unix:/tmp/x.sock", False),
        ("0.0.0.0:0", True),
        ("[::]:0", True),
        ("10.0.0.1:0", True),
        ("trainer:0", True),
    ],
)
def test_plain_text_is_refused_where_other_machines_reach_it(listen: str, *, refused: bool) -> None:
    def parse(**more: object) -> ServerSettings:
        return parse_settings({"listen": ["127.0.0.1:0", listen], **more}, ServerSettings)

    parse(allow_plaintext=True)
    parse(tls={"certificate": "a.crt", "key": "a.key"})
    if not refused:
        parse()
        return
    with pytest.raises(SettingsError, match="in plain text: set tls, or allow_plaintext: true"):
        parse()


def test_certificates_that_cannot_be_used_are_refused_at_the_start(
    tmp_path: Path, certs: Path
) -> None:
    with pytest.raises(SettingsError, match="cannot read the certificates"):
        server_credentials(ServerTls(certificate=tmp_path / "absent", key=certs / "server.key"))
    with pytest.raises(SettingsError, match="cannot use the certificates"):
        server_credentials(ServerTls(certificate=certs / "server.crt", key=certs / "client.key"))
    with pytest.raises(SettingsError, match="both certificate and key"):
        client_credentials(ClientTls(certificate=certs / "client.crt"))


def test_keys_for_development_are_readable_by_their_owner_only(certs: Path) -> None:
    for path in certs.glob("*.key"):
        assert path.stat().st_mode & 0o077 == 0
