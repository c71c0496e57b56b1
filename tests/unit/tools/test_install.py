"""What the installation finds missing, and what it says meanwhile."""

from importlib import metadata
from pathlib import Path

import pytest

from tools import install

ROOT = Path(__file__).resolve().parents[3]


def test_pins_of_the_demo_are_those_of_the_tests_and_lack_what_it_does_not_want() -> None:
    demo, dev = (install.pinned(ROOT / "requirements" / f"{name}.txt") for name in ("demo", "dev"))
    assert demo.items() < dev.items()  # so that neither has anything of the other's to replace
    heavy = {"mypy", "quantlib", "skfolio", "playwright", "locust", "mlflow-skinny", "scipy"}
    assert heavy <= dev.keys()
    assert heavy.isdisjoint(demo)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"torch": "2.13.0+cpu"}, True),
        ({"torch": "2.13.0"}, True),
        ({"torch": "2.12.0+cpu"}, False),
        ({}, False),
    ],
)
def test_package_of_whatever_build_fits_its_pin(there: dict[str, str], expected: bool) -> None:
    assert install.fits(there, "torch", "2.13.0") is expected


def test_progress_of_pip_names_what_it_gets_and_then_counts_what_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {"numpy": "2.4.6", "rich": "15.0.0"}
    log = tmp_path / "pip.log"
    log.write_text(
        "Collecting numpy==2.4.6\n  Downloading https://x/numpy-2.4.6-cp311.whl (16.0 MB)\n"
    )
    said = install.progress(log, versions, sorted(versions))
    assert said == "packages: got 1 of 2; numpy-2.4.6-cp311.whl (16.0 MB)"
    log.write_text("Installing collected packages: rich, numpy\n")
    monkeypatch.setattr(install, "installed", lambda: {"numpy": "2.4.6"})
    assert install.progress(log, versions, sorted(versions)) == "packages: unpacked 1 of 2"


def test_installed_packages_are_found_in_the_environment_and_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (packages,) = {metadata.distribution("numpy").locate_file("")}
    environment = tmp_path / "venv" / "lib" / "python3.11"
    environment.mkdir(parents=True)
    (environment / "site-packages").symlink_to(str(packages))
    monkeypatch.setattr(install, "VENV", tmp_path / "venv")
    pins = tmp_path / "pins.txt"
    pins.write_text(f"# pins\nnumpy=={metadata.version('numpy')}\n")
    monkeypatch.setattr(install, "install", lambda *_: pytest.fail("nothing is missing"))
    assert install.install_packages(pins) == "all 1 are there"
    pins.write_text("numpy==0.0.1\n")
    with pytest.raises(pytest.fail.Exception):
        install.install_packages(pins)
