"""The settings of the service and of its database."""

from pathlib import Path

import pytest

from risk_service.audit.database import Database
from risk_service.settings import RiskServiceSettings
from tradewind.errors import SettingsError
from tradewind.settings import load_settings, parse_settings

CONFIG = Path(__file__).parents[3] / "config" / "risk.yaml"


def test_settings_with_the_shipped_file_are_accepted() -> None:
    settings = load_settings(CONFIG, RiskServiceSettings)
    assert settings.server.listen == ("127.0.0.1:50053",)
    assert settings.resume_roles == {"risk_officer"}


def test_settings_with_as_many_streams_as_threads_are_refused() -> None:
    with pytest.raises(SettingsError, match="would leave none of the 8"):
        parse_settings(
            {"server": {"listen": "127.0.0.1:0", "threads": 8}, "max_streams": 8},
            RiskServiceSettings,
        )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("audit.sqlite", "database: not a URL"),
        ("sqlite://", "database: .*; allowed: sqlite:///FILE"),
        ("sqlite:///audit.sqlite?timeout=1", "a file takes no options"),
        ("sqlite:///:memory:", "allowed: sqlite:///FILE"),
        ("mysql://root@localhost/audit", "allowed: sqlite:///FILE"),
    ],
)
def test_database_with_an_unusable_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Database(url)


def test_database_with_a_password_in_its_url_keeps_it_out_of_the_error() -> None:
    with pytest.raises(SettingsError) as caught:
        Database("mysql://root:secret@localhost/audit")
    assert "secret" not in str(caught.value)
