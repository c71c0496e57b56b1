"""Which runtime serves a policy, as ListPolicies, the metrics and the log tell it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tests.scripting import script
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.bundle import GoldenSet
from tradewind.policy import TorchScriptNetwork
from tradewind.rpc import ServiceProcess


class Softmax(nn.Module):
    """Three of six observed numbers as probabilities, which no program calculates."""

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return torch.softmax(obs[:, :3], dim=1)


def mapped_files(server: ServiceProcess) -> str:
    return Path(f"/proc/{server.popen.pid}/maps").read_text()


def test_list_policies_tells_what_executes_each_and_why(
    tmp_path: Path,
    publish: Callable[..., str],
    serve: Callable[..., ServiceProcess],
    open_stub: Callable[[ServiceProcess], inference_pb2_grpc.InferenceServiceStub],
) -> None:
    policy_pt = script(Softmax())
    network = TorchScriptNetwork(policy_pt)
    observations = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    answers = [network.act(observations)[0], network.distribution(observations)[0]]
    publish(name="odd", policy_pt=policy_pt, golden=GoldenSet(observations, *answers))
    publish("tiny-sac")

    server = serve()
    stub = open_stub(server)
    assert "libtorch" not in mapped_files(server)
    listed = stub.ListPolicies(inference_pb2.ListPoliciesRequest()).policy_versions

    reason = "not lowered: aten::softmax.int is not known"
    assert {each.policy: (each.runtime, each.runtime_reason) for each in listed} == {
        "odd": ("torchscript", reason),
        "tiny-sac": ("compiled", ""),
    }
    request = inference_pb2.PredictRequest(
        policy="odd", values_f32_le=observations[0].astype("<f4").tobytes()
    )
    assert stub.Predict(request).discrete == answers[0][0]
    assert (
        f"is executed by torchscript, which is slower: {reason}"
        in (tmp_path / "inference_service.log").read_text()
    )
