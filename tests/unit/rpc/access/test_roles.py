"""Every method that a server answers has its roles, or is public on purpose."""

import importlib
from pathlib import Path
from types import ModuleType

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tradewind.rpc.access import METHOD_ROLES, PUBLIC_METHODS, Role
from tradewind.rpc.server.reflection import REFLECTION_V1

ROOT = Path(__file__).parents[4]


def served_protos() -> list[ModuleType]:
    """Every contract that there is, found in its folder, and those of gRPC that servers answer."""
    stubs = sorted((ROOT / "tradewind" / "api").rglob("*_pb2.py"))
    assert len(stubs) == len(list((ROOT / "protos").rglob("*.proto")))
    names = (".".join(stub.relative_to(ROOT).with_suffix("").parts) for stub in stubs)
    return [health_pb2, reflection_pb2, *map(importlib.import_module, names)]


def test_every_served_method_has_roles_or_is_public_and_nothing_else_is_named() -> None:
    served = {
        f"/{service.full_name}/{method.name}"
        for module in served_protos()
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    } | {f"/{REFLECTION_V1}/ServerReflectionInfo"}
    assert len(served) > 25
    assert served == set(METHOD_ROLES) | PUBLIC_METHODS
    assert not set(METHOD_ROLES) & PUBLIC_METHODS


def test_every_method_with_roles_names_at_least_one_and_every_role_opens_something() -> None:
    assert all(METHOD_ROLES.values())
    assert {role for roles in METHOD_ROLES.values() for role in roles} == set(Role)


def test_public_methods_with_their_services_tell_health_alone() -> None:
    assert {method.rpartition("/")[2] for method in PUBLIC_METHODS} == {
        *("Check", "List", "Watch", "ServerLive", "ServerReady")
    }
