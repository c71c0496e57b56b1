from pathlib import Path

import pytest

from tradewind.errors import ConflictError, SettingsError, UnauthenticatedError
from tradewind.rpc.access import AccessPolicy, Role, make_token, read_token, token_digest

ROOT = Path(__file__).parents[4]
TOKEN = "a-token-of-more-than-enough-characters"
POLICY = f"""\
identities:
  bot:
    certificates: [orchestrator, spiffe://desk/bot]
    roles: [predict, evaluate]
  alice:
    certificates: [alice]
    tokens: ["{token_digest(TOKEN)}"]
    roles: [resume]
    resumes_as: risk_officer
"""


def load(folder: Path, text: str = POLICY) -> AccessPolicy:
    path = folder / "access.yaml"
    path.write_text(text)
    return AccessPolicy.load(path)


def test_policy_with_certificates_and_tokens_finds_their_identities(tmp_path: Path) -> None:
    policy = load(tmp_path)
    bot = policy.of_certificate([b"orchestrator"])
    assert bot.name == "bot"
    assert bot.roles == {Role.PREDICT, Role.EVALUATE}
    assert policy.of_certificate([b"some-host", b"spiffe://desk/bot", b"orchestrator"]) == bot
    for _ in range(2):  # looked up, then remembered
        alice = policy.of_token(TOKEN)
        assert (alice.name, alice.resumes_as) == ("alice", "risk_officer")


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ä", "\udcff"])
def test_policy_with_another_token_refuses_it_and_remembers_nothing(
    tmp_path: Path, token: str
) -> None:
    policy = load(tmp_path)
    for _ in range(2):
        with pytest.raises(UnauthenticatedError, match="not known") as refused:
            policy.of_token(token)
        assert not token or token not in str(refused.value)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([b"stranger"], "is not known"),
        ([b"Orchestrator"], "is not known"),
        ([b"orchestrator", b"alice"], "stands for several identities"),
    ],
)
def test_policy_with_a_certificate_of_nobody_or_of_two_refuses_it(
    tmp_path: Path, names: list[bytes], problem: str
) -> None:
    with pytest.raises(UnauthenticatedError, match=problem):
        load(tmp_path).of_certificate(names)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("certificates: [alice]", "certificate: [alice]", r"certificate: .*\(line 6\)"),
        ("[predict, evaluate]", "[predict, trade]", r"roles.*'predict', .*\(line 4\)"),
        ("[predict, evaluate]", "[]", r"roles.*at least 1.*\(line 4\)"),
        (token_digest(TOKEN), TOKEN, r"tokens\[0\].*\^sha256:.*\(line 7\)"),
        ("    resumes_as: risk_officer\n", "", r"resumes_as goes with the role resume.*\(line 5\)"),
        ("[resume]", "[admin]", r"resumes_as goes with the role resume.*\(line 5\)"),
        ("certificates: [alice]", "certificates: [orchestrator]", "both bot and alice"),
        ("certificates: [orchestrator, spiffe://desk/bot]", "tokens: []", "one of them has to"),
        (POLICY.partition("\n")[2], "  {}", "at least 1"),
    ],
)
def test_policy_file_with_a_mistake_is_refused_with_its_line(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    assert before in POLICY
    with pytest.raises(SettingsError, match=problem):
        load(tmp_path, POLICY.replace(before, after))


def test_shipped_policy_with_its_identities_loads() -> None:
    policy = AccessPolicy.load(ROOT / "config" / "access.yaml")
    bot = policy.of_certificate([b"orchestrator"])
    assert bot.roles == {Role.PREDICT, Role.EVALUATE}


def test_token_with_its_file_is_for_the_owner_only_and_gives_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "token"
    digest = make_token(path)
    assert path.stat().st_mode & 0o077 == 0
    assert token_digest(read_token(path)) == digest
    with pytest.raises(ConflictError, match="already"):
        make_token(path)


@pytest.mark.parametrize("text", ["", "short", "two words that are long enough", "zeile\nzwei" * 5])
def test_token_file_with_no_token_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="22 to 8192") as refused:
        read_token(path)
    assert not text or text not in str(refused.value)


def test_token_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    make_token(path)
    assert read_token(path)
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="open to others"):
        read_token(path)
