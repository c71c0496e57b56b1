import pytest

from tradewind.errors import SettingsError
from tradewind.rpc import ServerSettings
from tradewind.rpc.address import host_and_port, loopback_dial_address
from tradewind.settings import parse_settings


def test_host_and_port_with_ipv6_takes_the_brackets_off() -> None:
    assert host_and_port("[::1]:50051") == ("::1", 50051)
    assert loopback_dial_address("::1", 50051) == "[::1]:50051"


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_loopback_dial_address_with_a_wildcard_can_be_dialled(wildcard: str) -> None:
    assert host_and_port(loopback_dial_address(wildcard, 7))[0] in {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "listen", ["", "localhost", "localhost:", "localhost:70000", ":1", "unix:"]
)
def test_server_settings_with_a_wrong_address_say_what_is_allowed(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"listen: .*(HOST:PORT|needs a path)"):
        parse_settings({"listen": listen}, ServerSettings)
