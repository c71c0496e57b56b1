"""A declared network is taken apart before it is believed."""

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewind.bundle import BundleMetadata
from tradewind.errors import BundleFormatError

RELEASED = Path(__file__).parents[2] / "contract/bundle/store_v2"
DISCRETE = json.loads((RELEASED / "tiny-dqn/2026-11-22.1/metadata.json").read_text())
CONTINUOUS = json.loads((RELEASED / "tiny-sac/2026-11-22.1/metadata.json").read_text())

Values = dict[str, Any]


def read(values: Values) -> BundleMetadata:
    """Reads what somebody has written who gives the digest of what stands there."""
    said = {"graph": values.get("graph"), "weights": values["files"].get("policy.safetensors")}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    written = {**values, "sha256": hashlib.sha256(canonical).hexdigest()}
    return BundleMetadata.from_json(json.dumps(written).encode())


def nodes_of(values: Values) -> dict[str, Values]:
    return {node["name"]: node for node in values["graph"]["nodes"]}


def edit(node: str, **changes: Any) -> Callable[[Values], None]:
    return lambda values: nodes_of(values)[node].update(changes)


def add(**node: Any) -> Callable[[Values], None]:
    return lambda values: values["graph"]["nodes"].append(node)


def reverse(values: Values) -> None:
    values["graph"]["nodes"].reverse()


def repeat(values: Values) -> None:
    values["graph"]["nodes"] += values["graph"]["nodes"][-1:]


def drop(key: str) -> Callable[[Values], None]:
    return lambda values: values.pop(key)


def answer(**names: str) -> Callable[[Values], None]:
    return lambda values: values["graph"].update(names)


def widen(count: int) -> Callable[[Values], None]:
    """Appends operations that are each as large as one may be."""

    def change(values: Values) -> None:
        large = {"op": "constant", "shape": [1 << 20]}
        values["graph"]["nodes"] += [{**large, "name": f"c_{index}"} for index in range(count)]

    return change


def convolve(count: int) -> Callable[[Values], None]:
    """Appends convolutions of few weights, each a matrix of 2^18 numbers once it is compiled."""

    def change(values: Values) -> None:
        how = {"op": "conv1d", "taps": 1, "stride": 1, "padding": 0, "dilation": 1}
        nodes = values["graph"]["nodes"]
        nodes.append({"op": "constant", "name": "c_0", "shape": [2, 256]})
        for index in range(count):
            last = {"name": f"c_{index + 1}", "input": f"c_{index}", "shape": [2, 256]}
            nodes.append({**how, **last})

    return change


def test_released_graph_is_what_it_says() -> None:
    assert [(node.op, node.shape) for node in read(DISCRETE).graph.nodes] == [  # type: ignore[union-attr]
        ("linear", (8,)),
        ("relu", (8,)),
        ("linear", (3,)),
        ("argmax", ()),
    ]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (drop("graph"), "a graph belongs to format_version 2"),
        (lambda values: values.update(format_version=1), "a graph belongs to format_version 2"),
        (lambda values: values["files"].pop("policy.safetensors"), "must name policy.safetensors"),
        (edit("relu_1", op="exec"), "does not match any of the expected tags"),
        (edit("relu_1", code="import os"), "Extra inputs are not permitted"),
        (edit("relu_1", input="linear_2"), "'relu_1' works on 'linear_2', which it cannot"),
        (edit("relu_1", input="relu_1"), "works on 'relu_1', which it cannot"),
        (edit("relu_1", input="nowhere"), "works on 'nowhere', which it cannot"),
        (edit("linear_2", input="observation"), "leads to no answer"),
        (edit("relu_1", shape=[9]), "'relu_1' (relu) cannot give [9] from [8]"),
        (edit("relu_1", shape=["8"]), "valid integer"),
        (edit("relu_1", shape=[True]), "valid integer"),
        (edit("relu_1", shape=[0]), "greater than or equal to 1"),
        (edit("relu_1", shape=[-8]), "greater than or equal to 1"),
        (edit("linear_1", shape=[1 << 30]), "less than or equal to 1048576"),
        (edit("linear_1", shape=[8, 1]), "cannot give [8, 1] from [6]"),
        (edit("linear_2", shape=[4]), "distribution is 'linear_2' of shape (4,)"),
        (edit("relu_1", name="observation"), "'observation' is there twice"),
        (edit("relu_1", name="../relu"), "should match pattern"),
        (edit("argmax_1", op="mean", dim=0), "action 'argmax_1' does not fit the action space"),
        (edit("argmax_1", input="linear_1"), "action 'argmax_1' does not fit the action space"),
        (reverse, "which it cannot"),
        (repeat, "is there twice"),
        (add(name="more", op="tanh", shape=[], input="argmax_1"), "works on 'argmax_1'"),
        (add(name="more", op="argmax", shape=[], input="relu_1"), "is an argmax, but not the"),
        (add(name="more", op="view", shape=[4], input="relu_1", start=5), "cannot give [4] from"),
        (add(name="more", op="view", shape=[4], input="relu_1", start=-1), "greater than or equal"),
        (add(name="more", op="constant", shape=[4]), "'more' leads to no answer"),
        (add(name="more", op="join", shape=[9], inputs=["relu_1", "linear_2"]), "cannot give [9]"),
        (
            add(name="more", op="add", shape=[8], inputs=["relu_1", "linear_2"]),
            "cannot give [8] from [8], [3]",
        ),
        (
            add(name="more", op="standardize", shape=[8], input="relu_1", group=3, epsilon=1e-5),
            "cannot give [8]",
        ),
        (
            add(name="more", op="elu", shape=[8], input="relu_1", constant="1"),
            "valid number",
        ),
        (widen(17), "17825812 numbers"),
        (widen(4097), "at most 4096 items"),
        (convolve(300), "67108864 are allowed"),
        (answer(action="nowhere"), "action is 'nowhere' of shape None"),
        (answer(action="linear_2"), "action is 'linear_2' of shape (3,)"),
        (answer(distribution="observation"), "distribution is 'observation' of shape (6,)"),
    ],
)
def test_graph_that_contradicts_itself_or_the_spaces_is_refused(
    change: Callable[[Values], None], cause: str
) -> None:
    values = copy.deepcopy(DISCRETE)
    change(values)
    with pytest.raises(BundleFormatError) as refused:
        read(values)
    assert cause in str(refused.value)
    assert refused.value.reason == "METADATA_INVALID"


@pytest.mark.parametrize(
    ("shape", "how", "possible"),
    [
        ([2, 2], {"taps": 2, "stride": 1, "padding": 0, "dilation": 1}, True),
        ([2, 1], {"taps": 2, "stride": 2, "padding": 0, "dilation": 1}, True),
        ([2, 3], {"taps": 2, "stride": 1, "padding": 0, "dilation": 1}, False),
        ([2, 1], {"taps": 4, "stride": 1, "padding": 0, "dilation": 1}, False),
        ([2, 1], {"taps": 2, "stride": 1, "padding": 0, "dilation": 1 << 20}, False),
        # Few weights in the file, and 2^21 once it is a matrix.
        ([1 << 18, 2], {"taps": 2, "stride": 1, "padding": 0, "dilation": 1}, False),
        ([2, 2], {"taps": 2, "stride": 0, "padding": 0, "dilation": 1}, False),
    ],
)
def test_convolution_gives_the_length_that_follows(
    shape: list[int], how: dict[str, int], possible: bool
) -> None:
    values = copy.deepcopy(CONTINUOUS)
    node = {"op": "conv1d", "name": "c", "shape": shape, "input": "observation", **how}
    values["graph"]["nodes"].append(node)
    with pytest.raises(BundleFormatError) as refused:
        read(values)
    assert ("'c' leads to no answer" in str(refused.value)) == possible


leaves = st.none() | st.booleans() | st.integers(-3, 1 << 40) | st.text(max_size=8)
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(st.data())
def test_graph_with_any_value_anywhere_is_refused_or_still_fits(data: st.DataObject) -> None:
    values = copy.deepcopy(data.draw(st.sampled_from([DISCRETE, CONTINUOUS])))
    nodes = values["graph"]["nodes"]
    for _ in range(data.draw(st.integers(1, 3))):
        node = data.draw(st.sampled_from(nodes))
        names = [each["name"] for each in nodes if isinstance(each["name"], str)]
        key = data.draw(st.sampled_from(sorted(node)))
        node[key] = data.draw(anything | st.sampled_from([*names, "observation", "tanh"]))
    try:
        metadata = read(values)
    except BundleFormatError:
        return
    assert metadata.graph is not None
    shapes = metadata.graph.shapes(metadata.obs_space.shape)
    assert shapes[metadata.graph.action] == metadata.action_shape(1)[1:]
    assert shapes[metadata.graph.distribution] == metadata.distribution_shape(1)[1:]
