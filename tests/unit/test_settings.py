from pathlib import Path

import pytest
from pydantic import Field

from tradewind.errors import RiskPolicyError, SettingsError
from tradewind.settings import Settings, load_settings, parse_settings


class Inner(Settings):
    size: int = Field(default=1, ge=1)


class Outer(Settings):
    name: str
    inner: Inner = Inner()
    items: tuple[Inner, ...] = ()


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_load_settings_with_overrides_puts_them_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\ninner: {size: 2}\n")
    settings = load_settings(path, Outer, {"inner.size": "3"})
    assert settings == Outer(name="a", inner=Inner(size=3))


def test_load_settings_with_several_mistakes_names_each_with_its_line(tmp_path: Path) -> None:
    path = write(
        tmp_path, "name: a\ninner:\n  size: 0\n  sizes: 4\nitems:\n  - size: 1\n  - {size: x}\n"
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(path, Outer)
    found = {item.field: item.description for item in caught.value.violations}
    assert set(found) == {"inner.size", "inner.sizes", "items[1].size"}
    assert "greater than or equal to 1 (line 3)" in found["inner.size"]
    assert "not permitted (line 4)" in found["inner.sizes"]
    assert "(line 7)" in found["items[1].size"]


def test_load_settings_with_missing_key_points_at_its_parent(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"name: Field required \(line 1\)"):
        load_settings(write(tmp_path, "inner: {size: 2}\n"), Outer)


def test_load_settings_with_repeated_key_names_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\ninner:\n  size: 1\n  size: 2\n")
    with pytest.raises(SettingsError, match=r"inner.size: repeated \(lines 3 and 4\)"):
        load_settings(path, Outer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "is not YAML"),
        ("- a\n- b\n", "must be a mapping of settings, not a list"),
        ("", "name: Field required"),
        ("name: .nan\n", "name"),
    ],
)
def test_load_settings_with_wrong_document_says_why(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(write(tmp_path, text), Outer)


def test_load_settings_with_no_file_raises_the_error_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(RiskPolicyError, match="cannot read"):
        load_settings(tmp_path / "none.yaml", Outer, error=RiskPolicyError)


def test_parse_settings_with_overrides_leaves_the_mapping_alone() -> None:
    values = {"name": "a", "inner": {"size": 2}}
    settings = parse_settings(values, Outer, overrides={"inner.size": 5})
    assert settings.inner.size == 5
    assert values == {"name": "a", "inner": {"size": 2}}
