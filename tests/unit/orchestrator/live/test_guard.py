"""Who may talk to the live view."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from orchestrator.live.guard import TOKEN_HEADER, RequestGuard
from orchestrator.settings import LiveSettings
from tradewind.errors import SettingsError
from tradewind.settings import parse_settings


@pytest.mark.parametrize(
    "host", ["localhost:8050", "127.0.0.1", "[::1]:8050", "10.0.0.7:80", "DESK.example:8050"]
)
def test_request_to_a_name_of_the_view_is_answered(host: str) -> None:
    guard = RequestGuard(["desk.example"])
    guard.check(make_mocked_request("GET", "/", headers={"Host": host}))
    origin = {"Host": host, "Origin": f"http://{host}"}
    guard.check(make_mocked_request("GET", "/stream", headers=origin))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": ""},
        {"Host": "evil.example:8050"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost", "Origin": "http://evil.example"},
        {"Host": "localhost:8050", "Origin": "http://localhost:9090"},
        {"Host": "localhost", "Origin": "null"},
    ],
)
def test_request_of_another_site_is_refused(headers: dict[str, str]) -> None:
    guard = RequestGuard(["desk.example"])
    with pytest.raises(web.HTTPForbidden):
        guard.check(make_mocked_request("GET", "/stream", headers=headers))


def test_change_without_the_token_of_the_page_is_refused() -> None:
    guard, other = RequestGuard([]), RequestGuard([])
    own = {"Host": "localhost", "Origin": "http://localhost"}
    for token in ({}, {TOKEN_HEADER: ""}, {TOKEN_HEADER: other.token}, {TOKEN_HEADER: "é"}):
        with pytest.raises(web.HTTPForbidden):
            guard.check_change(make_mocked_request("POST", "/resume", headers={**own, **token}))
    with pytest.raises(web.HTTPForbidden):  # a browser always says where a change comes from
        guard.check_change(
            make_mocked_request("POST", "/resume", headers={TOKEN_HEADER: guard.token})
        )
    guard.check_change(
        make_mocked_request("POST", "/resume", headers={**own, TOKEN_HEADER: guard.token})
    )


def test_listening_for_other_machines_is_refused_unless_it_is_meant() -> None:
    with pytest.raises(SettingsError, match="allow_remote"):
        parse_settings({"listen": "0.0.0.0:8050"}, LiveSettings)
    parse_settings({"listen": "0.0.0.0:8050", "allow_remote": True}, LiveSettings)
