"""A token verifier of the operator's own at a real server: whom it lets in, what it cannot do."""

import hashlib
import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from tests.waiting import wait_until
from tradewind.api.trainer.v1 import trainer_pb2, trainer_pb2_grpc
from tradewind.errors import (
    ComponentError,
    OverloadedError,
    PermissionDeniedError,
    SettingsError,
    TradewindError,
    UnauthenticatedError,
)
from tradewind.rpc import RpcServer, ServerSettings, error_from_rpc
from tradewind.rpc.access import (
    AccessSettings,
    TokenVerifier,
    TokenVerifierSettings,
    VerifiedToken,
    bearer_metadata,
    make_token,
)
from tradewind.rpc.access.token import read_token
from tradewind.rpc.access.verifier import TokenChecks
from tradewind.rpc.server.health import is_healthy
from tradewind.settings import Settings, parse_settings, settings_from_text

SERVICE = "tradewind.api.trainer.v1.TrainerService"
HERE = "tests.integration.security.test_token_verifier"
KEY = b"of-the-house"
Job = trainer_pb2.GetTrainingJobResponse
Context = grpc.ServicerContext


def token(subject: str, expires_s: float | None = None, key: bytes = KEY) -> str:
    """A token of the house: who, until when, and a seal."""
    said = f"{subject}~{'' if expires_s is None else expires_s}"
    return f"{said}~{hmac.new(key, said.encode(), hashlib.sha256).hexdigest()}"


class House(TokenVerifier):
    """Reads the tokens of the house, and does worse to those that ask for it."""

    class Options(Settings):
        """What it is told."""

        key: str = KEY.decode()

    asked: list[str]
    release: threading.Event
    is_revoked: bool

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        House.asked = []
        House.release = threading.Event()
        House.is_revoked = False
        if options.key == "lost":
            raise FileNotFoundError("the key of the house")

    def verify(self, token: str) -> Any:
        """Whose it is."""
        House.asked.append(token)
        subject, expires_s, seal = token.split("~")
        said = f"{subject}~{expires_s}".encode()
        if not hmac.compare_digest(seal, hmac.new(KEY, said, hashlib.sha256).hexdigest()):
            return None
        if House.is_revoked:
            return None
        if subject == "raise":
            raise ValueError(f"cannot read {token}")
        if subject == "exit":
            raise SystemExit(token)
        if subject == "hang":
            House.release.wait(60.0)
        odd = {"odd-true": True, "odd-text": "carol", "odd-empty": VerifiedToken("")}
        odd |= {"odd-number": VerifiedToken(5), "odd-time": VerifiedToken("carol", float("nan"))}  # type: ignore[arg-type]
        if subject in odd:
            return odd[subject]
        return VerifiedToken(subject, float(expires_s) if expires_s else None)


class Nothing:
    """No verifier."""


class Servicer(trainer_pb2_grpc.TrainerServiceServicer):
    """Answers, and says who called."""

    def __init__(self) -> None:
        self.server: RpcServer | None = None

    def GetTrainingJob(self, request: Any, context: Context) -> Job:
        assert self.server is not None
        caller = self.server.caller_of(context)
        assert caller is not None
        return Job(job=trainer_pb2.TrainingJob(job_id=caller.name))

    def WatchTrainingJob(
        self, request: Any, context: Context
    ) -> Iterator[trainer_pb2.WatchTrainingJobResponse]:
        while context.is_active():
            yield trainer_pb2.WatchTrainingJobResponse(job=trainer_pb2.TrainingJob(job_id="1"))
            time.sleep(0.01)


class Door:
    """A running server with the verifier, and what callers get there."""

    def __init__(self, folder: Path, **verifier: Any) -> None:
        digest = make_token(folder / "static.token")
        self.static = read_token(folder / "static.token")
        policy = folder / "access.yaml"
        policy.write_text(
            "identities:\n"
            f"  bot: {{tokens: ['{digest}'], roles: [train]}}\n"
            "  Carol: {subjects: [carol@house, 'house|carol'], roles: [train]}\n"
            "  Dave: {subjects: [dave], roles: [predict]}\n"
        )
        settings = ServerSettings(
            listen="127.0.0.1:0",
            access=policy,
            drain_s=0,
            token_verifier={"kind": f"{HERE}:House", "timeout_s": 20.0, **verifier},
        )
        self.registry = CollectorRegistry()
        servicer = Servicer()  # type: ignore[abstract]
        self.server = servicer.server = RpcServer("test", settings, self.registry)
        self.server.add_service(
            SERVICE, lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, to)
        )

    def call(self, shown: str) -> str:
        """Who the server says that a token is of."""
        with grpc.insecure_channel(self.server.address) as channel:
            stub = trainer_pb2_grpc.TrainerServiceStub(channel)
            try:
                answer = stub.GetTrainingJob(
                    trainer_pb2.GetTrainingJobRequest(job_id="1"),
                    metadata=bearer_metadata(shown),
                    timeout=30.0,
                )
            except grpc.RpcError as refused:
                raise error_from_rpc(refused) from None
            return str(answer.job.job_id)

    def failures(self, how: str) -> float:
        name = "tradewind_rpc_token_verifier_failures_total"
        return self.registry.get_sample_value(name, {"how": how}) or 0.0


Open = Callable[..., Door]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Open]:
    running = []

    def open_door(**verifier: Any) -> Door:
        made = Door(tmp_path, **verifier)
        scope = made.server.running()
        scope.__enter__()
        made.server.set_serving(True)
        running.append(scope)
        return made

    yield open_door
    House.release.set()
    for scope in running:
        scope.__exit__(None, None, None)


def test_token_of_the_house_proves_a_subject_and_the_policy_says_what_it_may(door: Open) -> None:
    one = door()
    assert one.call(token("carol@house")) == one.call(token("house|carol")) == "Carol"
    assert one.call(token("carol@house")) == "Carol"
    assert len(House.asked) == 2  # what is good is remembered
    with pytest.raises(PermissionDeniedError, match="Dave may not call GetTrainingJob"):
        one.call(token("dave"))
    with pytest.raises(UnauthenticatedError, match="of nobody that may call"):
        one.call(token("mallory"))
    asked = len(House.asked)
    assert one.call(one.static) == "bot"
    assert len(House.asked) == asked  # its digest is in the policy


@pytest.mark.parametrize(
    "subject", ["odd-true", "odd-text", "odd-empty", "odd-number", "odd-time", "raise", "exit"]
)
def test_verifier_that_fails_lets_nobody_in_and_no_token_into_the_log(
    door: Open, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = door()
    bad = token(subject)
    with caplog.at_level(logging.DEBUG), pytest.raises(UnauthenticatedError) as refused:
        one.call(bad)
    assert one.failures("raised") + one.failures("gave") == 1.0
    assert "token verifier" in caplog.text
    assert "the token is refused" in caplog.text
    for text in (caplog.text, str(refused.value), str(refused.value.metadata)):
        assert bad not in text
    assert one.call(token("carol@house")) == "Carol"


@pytest.mark.parametrize(
    "shown",
    [
        token("carol@house", key=b"of another house"),
        token("carol@house", 1.0),
        "carol@house~~" + "0" * 64,
        "no-token-of-the-house-at-all-but-long",
        token("Carol"),
    ],
)
def test_token_that_is_forged_expired_or_of_nobody_is_refused(door: Open, shown: str) -> None:
    one = door()
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            one.call(shown)


def test_verifier_that_hangs_refuses_after_its_time_and_holds_nobody_up(
    door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    one = door(timeout_s=0.3)
    wait_until(lambda: succeeds(lambda: one.call(token("carol@house"))))
    before = one.failures("slow")
    with ThreadPoolExecutor(40) as callers:
        hanging = [callers.submit(one.call, token("hang", 2e9 + place)) for place in range(40)]
        wait_until(lambda: len(House.asked) > 8)
        assert one.call(one.static) == one.call(one.static) == "bot"
        assert one.call(token("carol@house")) == "Carol"
        assert is_healthy(one.server.address)
        for call in hanging:
            assert isinstance(call.exception(), UnauthenticatedError)
    assert one.failures("slow") - before == 40.0
    assert "took over 0.3 s" in caplog.text
    assert all(it.daemon for it in threading.enumerate() if it.name == "token")
    # Those that still hang count, so that no caller makes threads without end.
    with ThreadPoolExecutor(40) as callers:
        more = [callers.submit(one.call, token("hang", 3e9 + place)) for place in range(40)]
        found = {type(call.exception()) for call in more}
    assert found == {UnauthenticatedError, OverloadedError}
    assert one.call(one.static) == "bot"
    House.release.set()
    wait_until(lambda: succeeds(lambda: one.call(token("house|carol"))))


def succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except TradewindError:
        return False
    return True


def test_same_token_on_many_calls_is_asked_about_once(door: Open) -> None:
    one = door()
    shown = token("hang", 2e9)
    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(one.call, shown) for _ in range(8)]
        wait_until(lambda: len(House.asked) == 1)
        House.release.set()
        errors = [call.exception() for call in calls]
    assert all("nobody that may call" in str(error) for error in errors)  # of the subject `hang`
    assert len(House.asked) < 8


def test_token_that_is_good_no_more_opens_nothing_also_on_an_open_stream(door: Open) -> None:
    one = door(remember_s=0.05)
    shown = token("carol@house", 2e9)
    with grpc.insecure_channel(one.server.address) as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        request = trainer_pb2.WatchTrainingJobRequest(job_id="1")
        stream = stub.WatchTrainingJob(request, metadata=bearer_metadata(shown), timeout=60.0)
        while len(House.asked) < 3:  # it is looked at again and again
            next(stream)
        House.is_revoked = True
        with pytest.raises(grpc.RpcError) as ended:
            list(stream)
    assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(UnauthenticatedError):
        one.call(shown)


def test_token_is_remembered_no_longer_than_it_is_good() -> None:
    settings = TokenVerifierSettings(kind=f"{HERE}:House", remember_s=3_000.0)
    checks = TokenChecks(settings, CollectorRegistry())
    for expires_s, is_known in ((None, True), (9e9, True), (time.time() - 0.1, False)):
        shown = token("carol@house", expires_s)
        checks.wait(shown)
        assert succeeds(lambda shown=shown: checks.subject(shown)) is is_known  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("token_verifier: {kind: 'HERE:House'}", "token_verifier goes with access"),
        ("access: a.yaml\ntoken_verifier:\n  kind: oidc", r"no token verifier 'oidc'.*\(line 4"),
        ("access: a\ntoken_verifier:\n  kind: HERE:Nothing", r"class 'Nothing'; .*\(line 4"),
        (
            "access: a\ntoken_verifier:\n  kind: HERE:House\n  options:\n    kye: 1",
            r"token_verifier.options.kye: Extra inputs .*\(line 6",
        ),
        ("access: a\ntoken_verifier: {kind: 'HERE:House', timeout_s: 99}", "less than or equal"),
    ],
)
def test_settings_with_a_verifier_that_cannot_be_are_refused(text: str, says: str) -> None:
    file = f"listen: 127.0.0.1:0\n{text}".replace("HERE", HERE)
    with pytest.raises(SettingsError, match=says):
        settings_from_text(file.encode(), "risk.yaml", ServerSettings)


def test_verifier_that_cannot_be_made_keeps_the_server_from_starting(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match=r"server.token_verifier.kind: House raised FileNot"):
        Door(tmp_path, options={"key": "lost"})


def test_subject_of_two_identities_is_refused(tmp_path: Path) -> None:
    each = {"subjects": ["carol"], "roles": ["train"]}
    with pytest.raises(SettingsError, match="the subject carol stands for both a and b"):
        parse_settings({"identities": {"a": each, "b": each}}, AccessSettings)
