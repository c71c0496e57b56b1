"""The extra is that of the package in which the import failed."""

import sys

import pytest

from tradewind.errors import TrainingError
from tradewind.extras import missing_extra, naming_extras
from trainer_service.tracking.settings import MlflowSettings
from trainer_service.tracking.tracker import TrackedRun


def failing_import(package: str, missing: str) -> None:
    """Imports a module that is not there, as code of a package would."""
    exec(f"import {missing}", {"__package__": package, "__name__": f"{package}.module"})


def raised(*packages: str, missing: str = "nowhere_to_be_found") -> ModuleNotFoundError:
    try:
        for package in packages:
            failing_import(package, missing)
    except ModuleNotFoundError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("risk_service", "risk"),
        ("inference_service.loading", "inference"),
        ("tradewind_cli", "cli"),
        ("orchestrator.feeds", "orchestrator"),
    ],
)
def test_missing_extra_with_a_package_names_what_to_install(package: str, extra: str) -> None:
    assert missing_extra(raised(package)) == (
        f"nowhere_to_be_found is not installed: pip install 'tradewind[{extra}]'"
    )


def test_missing_module_of_our_own_is_a_defect_and_stays_one() -> None:
    error = raised("risk_service", missing="tradewind.nowhere")
    assert missing_extra(error) is None
    with pytest.raises(ModuleNotFoundError), naming_extras("risk_service"):
        raise error


def test_missing_module_of_code_that_is_not_ours_is_not_explained() -> None:
    assert missing_extra(raised("somebody.elses")) is None


def test_program_that_misses_an_extra_ends_with_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, naming_extras("risk_service"):
        failing_import("risk_service", "nowhere_to_be_found")
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "risk_service: nowhere_to_be_found is not installed: pip install 'tradewind[risk]'\n"
    )


def test_missing_mlflow_names_its_own_extra_and_not_that_of_the_trainer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "trainer_service.tracking.mlflow", raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    settings = MlflowSettings(uri="sqlite:///mlflow.db")
    run = TrackedRun("btc", "night", {}, False, None)
    with pytest.raises(TrainingError, match=r"tracking\.mlflow_uri: .*'tradewind\[mlflow\]'"):
        settings.open(run)
