import pytest

from tradewind.errors import InvalidInputError
from tradewind.rpc.clients.channel import Addresses, call_metadata, channel_target


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        ("localhost:1", "localhost:1"),
        ("unix:/tmp/a", "unix:/tmp/a"),
        ("dns:///replicas:1", "dns:///replicas:1"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("127.0.0.1:1, 127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        ("ipv4:127.0.0.1:1,127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (["127.0.0.1:1", "127.0.0.1:2"], "ipv4:127.0.0.1:1,127.0.0.1:2"),
        (("[::1]:1", "[::1]:2"), "ipv6:[::1]:1,[::1]:2"),
    ],
)
def test_channel_target_with_addresses_names_all_of_them(addresses: Addresses, target: str) -> None:
    assert channel_target(addresses) == target


@pytest.mark.parametrize(
    ("addresses", "problem"),
    [
        ("", "'' is not IP:PORT"),
        ((), "at least one"),
        ("127.0.0.1:1,", "'' is not IP:PORT"),
        ("127.0.0.1:1,replica:2", "'replica:2' is not IP:PORT"),
        ("127.0.0.1:1,unix:/tmp/a", "'unix:/tmp/a' is not IP:PORT"),
        ("127.0.0.1:1,[::1]:2", "IPv4 and IPv6 are mixed"),
    ],
)
def test_channel_target_with_bad_addresses_is_refused(addresses: Addresses, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        channel_target(addresses)


@pytest.mark.parametrize(
    "addresses",
    ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/a", ["127.0.0.1:1", "127.0.0.2:1"]],
)
def test_token_in_plain_text_goes_to_this_machine(addresses: Addresses) -> None:
    assert call_metadata("secret", addresses, plaintext=True) == (
        ("authorization", "Bearer secret"),
    )


@pytest.mark.parametrize(
    "addresses",
    [
        "10.0.0.1:1",
        "risk:1",
        "localhost.evil.example:1",
        "dns:///localhost:1",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        ["127.0.0.1:1", "10.0.0.1:1"],
        "unix-abstract:a",
    ],
)
def test_token_in_plain_text_goes_to_no_other_machine(addresses: Addresses) -> None:
    with pytest.raises(InvalidInputError, match="may be another machine"):
        call_metadata("secret", addresses, plaintext=True)
    assert call_metadata("secret", addresses, plaintext=False) is not None
