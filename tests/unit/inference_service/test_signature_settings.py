"""Which settings serve bundles that nobody has signed, and that this is never by an oversight."""

from pathlib import Path

import pytest
import yaml

from inference_service.settings import InferenceSettings
from tradewind.errors import SettingsError
from tradewind.settings import parse_settings

ROOT = Path(__file__).parents[3]
AFAR = {"server": {"listen": "0.0.0.0:0", "allow_plaintext": True}}


def parse(**values: object) -> InferenceSettings:
    return parse_settings(values, InferenceSettings)


@pytest.mark.parametrize(
    ("values", "required"),
    [
        ({}, False),
        ({"trusted_keys": ["a.pub"]}, True),
        ({"trusted_keys": ["a.pub"], "require_signature": False}, False),
        ({"trusted_keys": ["a.pub"], "require_signature": True}, True),
        ({**AFAR, "trusted_keys": ["a.pub"]}, True),
        ({**AFAR, "require_signature": False}, False),
        ({"server": {"listen": ["unix:/run/x", "[::1]:0"]}}, False),
    ],
)
def test_signature_is_required_with_trusted_keys_unless_it_is_said(
    values: dict[str, object], required: bool
) -> None:
    assert parse(**values).signature_required is required


def test_server_that_others_reach_without_trusted_keys_is_refused_unless_it_is_said() -> None:
    with pytest.raises(SettingsError, match="bundles that nobody has signed would be served"):
        parse(**AFAR)
    listen = ["127.0.0.1:0", "10.0.0.1:0"]
    with pytest.raises(SettingsError, match=r"10\.0\.0\.1:0 is reached from other machines"):
        parse(server={"listen": listen, "allow_plaintext": True})


def test_signature_without_trusted_keys_is_refused() -> None:
    with pytest.raises(SettingsError, match="require_signature needs trusted_keys"):
        parse(require_signature=True)


def test_stack_in_containers_signs_what_it_trains_and_serves_nothing_else() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    config = ROOT / "config" / "compose"
    inference = parse(**yaml.safe_load((config / "inference.yaml").read_text()))
    trainer = yaml.safe_load((config / "trainer.yaml").read_text())

    assert inference.signature_required
    (trusted,) = inference.trusted_keys
    assert f"trusted:{trusted.parent}:ro" in services["inference"]["volumes"]
    signing = Path(trainer["signing_key"])
    assert f"signing:{signing.parent}:ro" in services["trainer"]["volumes"]
    holders = [name for name, each in services.items() if "signing" in str(each.get("volumes"))]
    assert sorted(holders) == ["keys", "trainer"]  # the private key is nobody else's
    holders = [name for name, each in services.items() if "clients:" in str(each.get("volumes"))]
    assert holders == ["keys"]  # tokens are given to who asks the operator for them
    for name in ("trainer", "inference", "risk"):
        assert services[name]["depends_on"]["keys"] == {
            "condition": "service_completed_successfully"
        }
