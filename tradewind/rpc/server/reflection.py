"""Server reflection, v1 and v1alpha: how grpcurl and other tools read the contracts.

grpcio-reflection answers v1alpha alone. In v1 the package has another name and the messages are the
same, byte for byte, so its servicer answers both.
"""

from collections.abc import Sequence
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

__all__ = ["REFLECTION_V1", "reflect"]

REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"
_V1_FILE: Final = "grpc/reflection/v1/reflection.proto"


def reflect(services: Sequence[str], server: grpc.Server) -> None:
    """Has a server answer reflection, as v1 and as v1alpha.

    Args:
        services: Full names of what it serves beside reflection.
        server: The server, before it starts.
    """
    names = (*services, REFLECTION_V1, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    _describe_v1()
    servicer: Any = reflection.ReflectionServicer(names)
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": method})
    server.add_generic_rpc_handlers((handler,))


def _describe_v1() -> None:
    """Has the pool of descriptors know v1, which reflection is asked about as any other service."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    old, new = f".{file.package}.", ".grpc.reflection.v1."
    file.name, file.package = _V1_FILE, new.strip(".")
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(old, new)
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(old, new)
        method.output_type = method.output_type.replace(old, new)
    pool: Any = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())  # the same file twice is once
