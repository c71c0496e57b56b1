"""The `calculators` section of the risk policy YAML, made from what each calculator declares."""

from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from tradewind.risk.calculators.base import Calculator, SettingsT
from tradewind.risk.calculators.registry import CALCULATORS
from tradewind.risk.outside.entry import OutsideCalculator
from tradewind.risk.pretrade import PRE_TRADE_METRICS
from tradewind.settings import Settings

__all__ = ["CalculatorsSettings", "EnabledCalculator"]


class EnabledCalculator(NamedTuple):
    """A calculator that a policy has enabled.

    Attributes:
        name: Its name.
        version: Of its formula.
        use: Where it comes from; empty for one of Tradewind's own.
        metrics: Unit of each of its metrics.
        needs: Inputs without which all of its metrics are unavailable, where that is known.
        settings: What it goes by, by the path of each under `calculators`; no answer of the risk
            service has these beside the policy itself.
    """

    name: str
    version: int
    use: str
    metrics: Mapping[str, str]
    needs: Collection[str] = ()
    settings: Mapping[str, Any] = MappingProxyType({})


class _Calculators(Settings):
    """Settings of every calculator; one that is left out is enabled with its defaults."""

    # What has another name is from outside, and says so.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, OutsideCalculator]

    @property
    def outside(self) -> Mapping[str, OutsideCalculator]:
        """The enabled calculators from outside by name, in the order of the reports."""
        return {
            name: entry for name, entry in sorted(self.__pydantic_extra__.items()) if entry.enabled
        }

    @property
    def not_here(self) -> Mapping[str, str]:
        """Metrics whose calculator has not been imported, and what that is."""
        absent = (entry for entry in self.outside.values() if entry.loaded is None)
        return {metric: entry.use for entry in absent for metric in entry.metrics}

    def of(self, calculator: Calculator[SettingsT]) -> SettingsT:
        """Settings of a calculator of Tradewind's own."""
        settings: SettingsT = getattr(self, calculator.name)
        return settings

    def enabled(self) -> Iterator[EnabledCalculator]:
        """The enabled calculators, in the order of the reports."""
        for each in CALCULATORS:
            settings = self.of(each)
            if settings.enabled:
                paths = (*(f"{each.name}.{name}" for name, _ in settings), *each.reads)
                by_path = {path: attrgetter(path)(self) for path in paths}
                metrics = each.metrics(settings)
                yield EnabledCalculator(each.name, each.version, "", metrics, each.needs, by_path)
        for name, entry in self.outside.items():
            by_path = {
                f"{name}.use": entry.use,
                f"{name}.version": entry.version,
                **{f"{name}.settings.{key}": item for key, item in entry.all_settings.items()},
            }
            declared = entry.loaded.declared.needs if entry.loaded else {}
            needs = [each for each, fewest in declared.items() if fewest]
            yield EnabledCalculator(
                name, entry.version or 0, entry.use, entry.metrics, needs, by_path
            )

    def metrics(self) -> tuple[str, ...]:
        """Metrics of the enabled calculators, in the order of the reports."""
        return tuple(metric for each in self.enabled() for metric in each.metrics)

    def windows(self) -> Mapping[str, int]:
        """How much of each series any calculator looks back over, a disabled one of ours too."""
        found: dict[str, int] = {}
        windows = [each.windows(self.of(each)) for each in CALCULATORS]
        for window in (*windows, *(entry.windows for entry in self.outside.values())):
            found |= {name: max(size, found.get(name, 0)) for name, size in window.items()}
        return found

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        taken = dict.fromkeys(PRE_TRADE_METRICS, "the checks before an order")
        for each in CALCULATORS:
            taken |= dict.fromkeys(each.metrics(self.of(each)), f"the calculator {each.name}")
        problems = []
        for name, entry in self.outside.items():
            loaded = entry.loaded
            if loaded is not None and loaded.calculator.name != name:
                problem = f"{entry.use} has the name {loaded.calculator.name}: put it under that"
                problems.append((name, problem))
            problems += [
                (name, f"its metric {metric} is one of {taken[metric]}: rename it")
                for metric in entry.metrics
                if metric in taken
            ]
            taken |= dict.fromkeys(entry.metrics, f"the calculator {name}")
        if problems:
            raise ValidationError.from_exception_data(
                "calculators",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("calculator", "{problem}", {"problem": problem}),
                        loc=(name, "use"),
                        input=None,
                    )
                    for name, problem in problems
                ],
            )
        return self


if TYPE_CHECKING:
    CalculatorsSettings = _Calculators
else:
    CalculatorsSettings = create_model(
        "CalculatorsSettings",
        __base__=_Calculators,
        __doc__=_Calculators.__doc__,
        __module__=__name__,
        **{
            each.name: (each.settings, Field(default=each.settings(), description=each.describe()))
            for each in CALCULATORS
        },
    )
