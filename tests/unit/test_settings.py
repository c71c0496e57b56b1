from pathlib import Path

import pytest
from pydantic import Field, field_validator, model_validator

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


class Connection(Settings):
    url: str
    also: tuple[str, ...] = ()


def test_load_settings_with_references_takes_values_from_environment_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    file = tmp_path / "settings.yaml"
    file.write_text(
        f"url: postgresql://${{DB_USER}}:${{file:{secret}}}@${{DB_HOST:-localhost}}/x\n"
        "also: ['${DB_EMPTY:-default}', '$5', '${not a name}']\n"
    )
    monkeypatch.setenv("DB_USER", "me")
    monkeypatch.setenv("DB_EMPTY", "")
    monkeypatch.delenv("DB_HOST", raising=False)

    settings = load_settings(file, Connection)

    assert settings.url == "postgresql://me:s3cret@localhost/x"
    assert settings.also == ("default", "$5", "${not a name}")


def test_load_settings_with_absent_references_names_each_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_USER", raising=False)
    file = tmp_path / "settings.yaml"
    file.write_text(f"url: ${{DB_USER}}\nalso:\n  - ${{file:{tmp_path}/absent}}\n")

    with pytest.raises(SettingsError) as refusal:
        load_settings(file, Connection)

    said = {item.field: item.description for item in refusal.value.violations}
    assert said["url"] == "the environment has no variable DB_USER (line 1)"
    assert "absent" in said["also[0]"]
    assert "(line 3)" in said["also[0]"]


class Guarded(Settings):
    password: str = ""
    port: int = 1
    either: str = ""

    @field_validator("password")
    @classmethod
    def _check(cls, value: str) -> str:
        if " " in value:
            raise ValueError(f"{value!r} has a space, after {value[:3]}")
        return value

    @model_validator(mode="after")
    def _compare(self) -> "Guarded":
        if self.either and self.either != self.password:
            raise ValueError(f"{self.either!r} is not {self.password!r}")
        return self


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("password: '${file:%s}'", "the value that is taken from elsewhere is refused"),
        ("password: x${MINE}", "the value that is taken from elsewhere is refused"),
        ("either: ${OTHER}", "'…' is not ''"),
        ("port: ${OTHER}", "Input should be a valid integer"),
        ("password: literal text", "'literal text' has a space"),
    ],
)
def test_load_settings_quotes_nothing_that_was_taken_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2 and more\n")
    monkeypatch.setenv("MINE", "hunter2 too")
    monkeypatch.setenv("OTHER", "hunter2")
    path = write(tmp_path, text % secret if "%s" in text else text)
    with pytest.raises(SettingsError) as refusal:
        load_settings(path, Guarded)
    assert says in str(refusal.value)
    assert "hun" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    ["a: [hunter2", "a: *hunter2", "a: !hunter2 x", "a: 'hunter2", "a: @hunter2", "{{hunter2}: x}"],
)
def test_load_settings_with_what_is_no_yaml_names_the_place_and_quotes_nothing(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(SettingsError, match=r"is not YAML: .*\(line \d+, column \d+\)") as refusal:
        load_settings(write(tmp_path, f"name: x\n{text}\n"), Outer)
    assert "hunter" not in str(refusal.value)


@pytest.mark.parametrize("text", ["a: 2026-99-99", "[" * 5_000])
def test_load_settings_with_yaml_that_no_reader_takes_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="is not YAML"):
        load_settings(write(tmp_path, text), Outer)
