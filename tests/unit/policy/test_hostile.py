"""No way in executes anything of a bundle that would do more than calculate."""

import dataclasses
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.hostile.archives import archives, pack, records
from tests.hostile.networks import NETWORKS, Hostile
from tests.scripting import script
from tradewind.bundle import BundleDraft, BundleFault, read_bundle
from tradewind.errors import BundleError
from tradewind.policy import TorchScriptNetwork, TorchScriptPolicy, load_sealed_policy
from tradewind.policy.script import check_script

RELEASED = Path(__file__).parents[2] / "contract/bundle/store_v1"
CONTENT = b"no network's business"
ARCHIVES = list(archives("/nowhere"))

LAYERS = [
    nn.Softmax(dim=1),
    nn.LSTM(4, 5),
    nn.GRUCell(4, 5),
    nn.MultiheadAttention(8, 2),
    nn.TransformerEncoderLayer(8, 2),
    nn.Conv2d(1, 2, 3, padding_mode="reflect"),
    nn.InstanceNorm1d(3),
    nn.BatchNorm1d(4),
    nn.GroupNorm(2, 4),
    nn.Embedding(10, 3),
    nn.MaxPool2d(2),
    nn.Hardswish(),
    nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True), nn.Dropout(0.5)),
    nn.ModuleDict({"a": nn.Linear(1, 1)}),
]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(CONTENT)
    return path


def scripted(module: nn.Module) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return script(module)


@pytest.mark.parametrize(
    ("network", "reason", "named"), NETWORKS, ids=[network.__name__ for network, _, _ in NETWORKS]
)
def test_network_that_does_more_than_calculate_is_refused_before_it_does(
    victim: Path, network: type[Hostile], reason: str, named: str
) -> None:
    policy_pt = scripted(network(str(victim)))
    with pytest.raises(BundleError) as refused:
        TorchScriptNetwork(policy_pt).act(np.ones((2, 3), np.float32))
    assert refused.value.reason == BundleFault(reason)
    assert named in str(refused.value)
    if reason == BundleFault.MODEL_OPERATION_FORBIDDEN:
        assert refused.value.metadata["place"]
    assert victim.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("data", "reason"),
    [pytest.param(data, reason, id=name) for name, data, reason in ARCHIVES],
)
def test_archive_written_by_hand_is_refused_before_it_is_loaded(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError) as refused:
        check_script(data)
    assert refused.value.reason == BundleFault(reason)


def test_archives_are_refused_for_what_was_changed_in_them() -> None:
    check_script(pack(records()))


@pytest.mark.parametrize("folder", sorted(RELEASED.glob("*/*")), ids=lambda path: path.parent.name)
def test_checked_archive_gives_the_same_bits(folder: Path) -> None:
    bundle = read_bundle(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, after = (
            torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
            for data in (bundle.policy_pt, check_script(bundle.policy_pt))
        )
    observations = torch.from_numpy(bundle.golden.observations)
    assert torch.equal(before(observations), after(observations))
    assert torch.equal(before.distribution(observations), after.distribution(observations))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layer_of_torch_is_allowed_and_loads(layer: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checked = check_script(scripted(layer))
        torch.jit.load(io.BytesIO(checked))  # type: ignore[no-untyped-call]


def test_bundle_of_a_hostile_network_is_refused_by_every_way_in(
    publish: Callable[[BundleDraft], Path], discrete_draft: BundleDraft, victim: Path
) -> None:
    writer = next(network for network, _, named in NETWORKS if named == "__getstate__")
    draft = dataclasses.replace(discrete_draft, policy_pt=scripted(writer(str(victim))))
    path = publish(draft)
    for load in (TorchScriptPolicy.load_bundle, load_sealed_policy):
        with pytest.raises(BundleError, match=r"bundle tiny/\S+ is refused: .*may") as refused:
            load(path)
        assert refused.value.reason == BundleFault.MODEL_OPERATION_FORBIDDEN
    assert victim.read_bytes() == CONTENT


def test_bundle_that_is_swapped_after_it_was_verified_is_loaded_as_it_was(
    publish: Callable[[BundleDraft], Path], discrete_draft: BundleDraft
) -> None:
    path = publish(discrete_draft)
    bundle = read_bundle(path)
    swapped = path / "policy.pt"
    swapped.unlink()
    swapped.symlink_to("/dev/zero")
    actions, _ = TorchScriptNetwork(bundle.policy_pt).act(bundle.golden.observations)
    np.testing.assert_array_equal(actions, bundle.golden.actions)
    with pytest.raises(BundleError) as refused:
        load_sealed_policy(path)
    assert refused.value.reason == BundleFault.FILE_NOT_REGULAR


class Softmax(nn.Module):
    """What the compiled runtime does not know."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.softmax(obs.flatten(1)[:, :3], dim=1)


def test_sealed_policy_gives_the_answers_of_one_loaded_here(
    publish: Callable[[BundleDraft], Path], discrete_draft: BundleDraft, gaussian_draft: BundleDraft
) -> None:
    observations = discrete_draft.golden.observations
    network = TorchScriptNetwork(scripted(Softmax()))
    golden = dataclasses.replace(
        discrete_draft.golden,
        actions=network.act(observations)[0],
        distribution=network.distribution(observations)[0],
    )
    odd = dataclasses.replace(
        discrete_draft, name="odd", policy_pt=scripted(Softmax()), golden=golden
    )
    for draft, runtime in ((odd, "torchscript"), (gaussian_draft, "compiled")):
        path = publish(draft)
        sealed, here = load_sealed_policy(path), TorchScriptPolicy.load_bundle(path)
        assert (sealed.runtime, sealed.runtime_reason) == (runtime, here.runtime_reason)
        for policy in (sealed, here):
            actions, info = policy.predict_batch(observations, with_distribution=True)
            np.testing.assert_allclose(actions, draft.golden.actions, atol=1e-5)
            np.testing.assert_allclose(info["distribution"], draft.golden.distribution, atol=1e-5)
