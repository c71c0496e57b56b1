"""What containers and probes ask."""

import pytest
from prometheus_client import CollectorRegistry

from tradewind.rpc import RpcServer, ServerSettings
from tradewind.rpc.server.health import is_alive, is_healthy, main


def test_health_of_a_server_is_what_it_says_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = RpcServer("probed", ServerSettings(listen="127.0.0.1:0"), CollectorRegistry())
    name = "tradewind.Probed"
    server.add_service(name, lambda _: None)
    with server.running():
        address = server.address
        assert (is_alive(address), is_healthy(address), is_healthy(address, name)) == (
            True,
            False,
            False,
        )
        server.set_serving(True)
        assert is_healthy(address)
        assert is_healthy(address, name)
        assert not is_healthy(address, "tradewind.Unknown")
        for arguments, code in (([address], 0), ([address, "tradewind.Unknown"], 1)):
            monkeypatch.setattr("sys.argv", ["health", *arguments])
            assert main() == code
    monkeypatch.setattr("sys.argv", ["health", "--alive", address])
    assert main() == 1
    assert not is_alive(address)
