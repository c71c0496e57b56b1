"""`tradewind schema`: JSON Schemas of settings and of bundles, for editors and other programs."""

import ast
import importlib
import inspect
import sys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from tradewind.settings import Settings

__all__ = ["FILES", "WRITTEN", "SettingsFile", "schema_of"]


@dataclass(frozen=True)
class SettingsFile:
    """A kind of settings file.

    Attributes:
        title: What it sets.
        model: Its settings class, as `package.module:Class`.
        takes_references: Whether a value may be taken from elsewhere, as `${NAME}`.
    """

    title: str
    model: str
    takes_references: bool = True


FILES: Final = {
    "inference": SettingsFile(
        "The inference service", "inference_service.settings:InferenceSettings"
    ),
    "risk": SettingsFile("The risk service", "risk_service.settings:RiskServiceSettings"),
    "trainer": SettingsFile(
        "The trainer service", "trainer_service.service.settings:TrainerServiceSettings"
    ),
    "orchestrator": SettingsFile("The orchestrator", "orchestrator.settings:OrchestratorSettings"),
    "risk-policy": SettingsFile("The risk policy", "tradewind.risk:RiskPolicy"),
    "risk-overlay": SettingsFile(
        "Limits stricter than the risk policy's", "tradewind.risk:RiskOverlay"
    ),
    "instruments": SettingsFile(
        "Instruments", "tradewind.market.instruments:InstrumentsFile", takes_references=False
    ),
    "access": SettingsFile("The access policy", "tradewind.rpc.access.policy:AccessSettings"),
    "routing": SettingsFile(
        "The routing file", "inference_service.routing.file:RoutingSettings", takes_references=False
    ),
    "training": SettingsFile(
        "A training", "trainer_service.training.config:JobConfig", takes_references=False
    ),
    "tuning": SettingsFile("A search", "trainer_service.research.tuning:TuningConfig"),
}
WRITTEN: Final = {
    "bundle-metadata": SettingsFile(
        "metadata.json of a bundle", "tradewind.bundle:BundleMetadata", takes_references=False
    ),
}
"""Files that Tradewind writes and other programs read."""

_REFERENCE: Final = {
    "description": "Taken from elsewhere: ${NAME}, ${NAME:-default} or ${file:PATH}.",
    "type": "string",
    "pattern": r"\$\{[^}]+\}",
}


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file."""
    file = {**FILES, **WRITTEN}[name]
    module, _, attribute = file.model.partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), attribute)
    made = model.model_json_schema(schema_generator=_Generator)
    if name == "training":
        _know_algorithms(made)
    if file.takes_references:
        _take_references(made)
        made["$defs"]["Reference"] = _REFERENCE
    return {"$schema": _Generator.schema_dialect, "title": file.title, **made}


def _know_algorithms(made: dict[str, Any]) -> None:
    """Says what parameters each of Tradewind's own algorithms takes."""
    from trainer_service.algorithms import ALGORITHMS, find_algorithm
    from trainer_service.algorithms.parameters import KnownParameters

    told = _told_under_fields(KnownParameters)
    made["allOf"] = []
    for name in ALGORITHMS.own_parts():
        parameters = find_algorithm(name).parameters.model_json_schema(schema_generator=_Generator)
        parameters["description"] = f"Parameters of {name}."
        for key, parameter in parameters["properties"].items():
            parameter.setdefault("description", told.get(key, "What the network is made of."))
        made["$defs"] |= {**parameters.pop("$defs"), f"{name}Parameters": parameters}
        taken = {"$ref": f"#/$defs/{name}Parameters"}
        made["allOf"].append(
            {
                "if": {"properties": {"algorithm": {"const": name}}, "required": ["algorithm"]},
                "then": {"properties": {"algo_params": taken}},
            }
        )


class _Generator(GenerateJsonSchema):
    """Puts in what stands under the fields, and leaves out what depends on this machine."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        """As pydantic has it, with descriptions."""
        made, model = super().model_schema(schema), schema["cls"]
        made.pop("title", None)
        made["description"] = _words((model.__doc__ or "").partition("\n\n")[0])
        told = _told_under_fields(model)
        for name, field in model.model_fields.items():
            if name in told:
                made["properties"][field.alias or name]["description"] = told[name]
        return made

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        """As pydantic has it; a name that its pattern does not take is refused."""
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """A field's name is its title."""
        return False

    def encode_default(self, dft: Any) -> Any:
        """Of settings in settings, what their own defaults do not say."""
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True, exclude_unset=True)
        encoded = super().encode_default(dft)
        return sorted(encoded) if isinstance(dft, frozenset) else encoded


def _words(text: str) -> str:
    return " ".join(text.split())


def _told_under_fields(model: type[BaseModel]) -> dict[str, str]:
    """What stands under each field of a settings class and of those that it inherits from.

    Read from the source when a schema is asked for, as it would take time at every start.
    """
    told: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, Settings):
            told |= _told_in(each.__module__).get(each.__qualname__, {})
    return told


@cache
def _told_in(module: str) -> dict[str, dict[str, str]]:
    """What stands under the fields of every class of a module."""
    return {
        node.name: {
            field.target.id: _words(text.value.value)
            for field, text in pairwise(node.body)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        }
        for node in ast.parse(inspect.getsource(sys.modules[module])).body
        if isinstance(node, ast.ClassDef)
    }


def _take_references(node: Any) -> None:
    """Lets what is no plain text be a reference, too."""
    if isinstance(node, list):
        for each in node:
            _take_references(each)
    if not isinstance(node, dict):
        return
    for each in node.values():
        _take_references(each)
    for key in ("items", "additionalProperties"):
        if _is_no_text(node.get(key)):
            node[key] = _or_reference(node[key])
    for name, each in node.get("properties", {}).items():
        if _is_no_text(each):
            node["properties"][name] = _or_reference(each)
    if any(_is_no_text(each) for each in node.get("anyOf", ())):
        node["anyOf"].append({"$ref": "#/$defs/Reference"})


def _is_no_text(node: Any) -> bool:
    if not isinstance(node, dict) or "const" in node:
        return False
    narrowed = {"enum", "pattern", "maxLength"} & node.keys()
    return node.get("type") in ("integer", "number", "boolean") or bool(narrowed)


def _or_reference(node: dict[str, Any]) -> dict[str, Any]:
    value = dict(node)
    about = {key: value.pop(key) for key in ("description", "default") if key in value}
    made: dict[str, Any] = {"anyOf": [value, {"$ref": "#/$defs/Reference"}]}
    return made | about
