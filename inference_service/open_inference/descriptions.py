"""What the protocol says of the policies that are served."""

from collections.abc import Iterable
from typing import Final

from inference_service.open_inference.call import ACTION, DISTRIBUTION, OBSERVATION
from inference_service.registry import LoadedVersion, Snapshot
from tradewind.api.open_inference import grpc_predict_v2_pb2 as messages
from tradewind.api.open_inference import model_config_pb2
from tradewind.bundle import DiscreteSpace

__all__ = ["model_config", "model_metadata", "model_statistics", "repository_index"]

_PLATFORM: Final = "pytorch_torchscript"

TensorMetadata = messages.ModelMetadataResponse.TensorMetadata


def model_metadata(
    version: LoadedVersion, versions: Iterable[str]
) -> messages.ModelMetadataResponse:
    """What a version takes and gives, and the versions of its policy that can be asked."""
    metadata = version.policy.metadata
    discrete = isinstance(metadata.action_space, DiscreteSpace)
    return messages.ModelMetadataResponse(
        name=version.name,
        versions=versions,
        platform=_PLATFORM,
        inputs=[
            TensorMetadata(name=OBSERVATION, datatype="FP32", shape=(-1, *metadata.obs_space.shape))
        ],
        outputs=[
            TensorMetadata(
                name=ACTION,
                datatype="INT64" if discrete else "FP32",
                shape=metadata.action_shape(-1),
            ),
            TensorMetadata(
                name=DISTRIBUTION, datatype="FP32", shape=metadata.distribution_shape(-1)
            ),
        ],
    )


def model_config(version: LoadedVersion) -> messages.ModelConfigResponse:
    """What a version takes and gives, as Triton's configuration has it."""
    metadata = model_metadata(version, ())
    response = messages.ModelConfigResponse()
    config = response.config
    config.name, config.platform, config.backend = version.name, _PLATFORM, version.policy.runtime
    for tensor in metadata.inputs:
        data_type = model_config_pb2.DataType.Value(f"TYPE_{tensor.datatype}")
        config.input.add(name=tensor.name, data_type=data_type, dims=tensor.shape)
    for tensor in metadata.outputs:
        data_type = model_config_pb2.DataType.Value(f"TYPE_{tensor.datatype}")
        config.output.add(name=tensor.name, data_type=data_type, dims=tensor.shape)
    return response


def model_statistics(versions: Iterable[LoadedVersion]) -> messages.ModelStatisticsResponse:
    """How often versions were asked, in either protocol, and how long their networks took."""
    response = messages.ModelStatisticsResponse()
    for version in versions:
        single, batches = version.latencies.snapshot(), version.batch_latencies.snapshot()
        count, total_ns = single.count + batches.count, single.total_ns + batches.total_ns
        took = messages.StatisticDuration(count=count, ns=round(total_ns))
        response.model_stats.add(
            name=version.name,
            version=version.version,
            inference_count=single.count + version.batch_observations,
            execution_count=count,
            inference_stats=messages.InferStatistics(success=took, compute_infer=took),
        )
    return response


def repository_index(snapshot: Snapshot, *, ready_only: bool) -> messages.RepositoryIndexResponse:
    """Every loaded version, and the refused ones with their reason."""
    index = messages.RepositoryIndexResponse()
    for version in snapshot.versions():
        index.models.add(name=version.name, version=version.version, state="READY")
    if not ready_only:
        for refused in snapshot.quarantined.values():
            index.models.add(
                name=refused.policy,
                version=refused.version,
                state="UNAVAILABLE",
                reason=f"{refused.reason}: {refused.detail}",
            )
    return index
