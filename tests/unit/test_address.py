import contextlib
import socket

import pytest

from tradewind.address import host_and_port, loopback_dial_address
from tradewind.errors import SettingsError
from tradewind.ports import reserve_port
from tradewind.rpc import ServerSettings
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
    with pytest.raises(SettingsError, match=r"listen\[0\]: .*(HOST:PORT|needs a path)"):
        parse_settings({"listen": listen}, ServerSettings)


def test_server_settings_with_several_addresses_keep_their_order() -> None:
    settings = parse_settings({"listen": ["127.0.0.1:0", "unix:/tmp/x"]}, ServerSettings)
    assert settings.listen == ("127.0.0.1:0", "unix:/tmp/x")
    with pytest.raises(SettingsError, match="listen"):
        parse_settings({"listen": []}, ServerSettings)


def test_reserved_port_is_shared_by_those_who_ask_for_it_and_no_others() -> None:
    with reserve_port("127.0.0.1:0") as address:
        target = host_and_port(address)
        assert target[1] > 0
        with pytest.raises(SettingsError, match=f"cannot listen on {address}"):
            with reserve_port(address):
                pass
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                sharing = stack.enter_context(socket.socket())
                sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sharing.bind(target)
                sharing.listen()
        with socket.socket() as alone, pytest.raises(OSError, match="in use"):
            alone.bind(target)


def test_reserve_port_of_another_machine_says_so() -> None:
    with pytest.raises(SettingsError, match=r"cannot listen on 192\.0\.2\.1:0"):
        with reserve_port("192.0.2.1:0"):
            pass
