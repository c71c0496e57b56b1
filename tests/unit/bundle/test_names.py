import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.bundle import BundleVersion, check_policy_name
from tradewind.bundle.names import check_extra_file_name
from tradewind.errors import InvalidInputError

VERSIONS = st.builds(BundleVersion, st.dates(), st.integers(1, 999_999))


@given(VERSIONS)
def test_version_with_any_day_and_serial_survives_text(version: BundleVersion) -> None:
    assert BundleVersion.parse(str(version)) == version


def test_version_order_with_two_digit_serial_is_numeric() -> None:
    texts = ["2026-11-22.10", "2026-11-22.9", "2025-12-31.11"]
    ordered = sorted(map(BundleVersion.parse, texts))
    assert [str(version) for version in ordered] == [texts[2], texts[1], texts[0]]


@pytest.mark.parametrize(
    "text",
    ["", "1", "2026-11-22", "2026-11-22.0", "2026-11-22.01", "2026-13-01.1", "2026-11-22.1\n",
     "../2026-11-22.1", "2026-11-22.٣", "2026-11-22.1000000"],
)  # fmt: skip
def test_version_with_other_shape_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        BundleVersion.parse(text)
    assert refused.value.violations[0].field == "version"


@pytest.mark.parametrize("name", ["a", "btc-dqn_2", "0x", "a" * 63])
def test_policy_name_with_allowed_characters_is_accepted(name: str) -> None:
    assert check_policy_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "../secret", "a/b", "A", "-a", "_a", ".a", "a" * 64, "a\n", "ä", "a\0"]
)
def test_policy_name_with_other_characters_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="does not match") as refused:
        check_policy_name(name)
    assert refused.value.violations[0].field == "policy"


@pytest.mark.parametrize("name", ["policy.pt", "metadata.json", "metadata.json.sig", "../a", ".a"])
def test_extra_file_with_reserved_or_unsafe_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="extra file is refused"):
        check_extra_file_name(name)
