"""Code that a request, a bundle, a store or a log names is never imported.

The canary is installed beside Tradewind and announced to every door. The operator names it nowhere,
so whoever reads what comes from elsewhere must leave it alone, whatever field it stands in.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from inference_service.routing.file import parse_routing
from orchestrator.agents.contract import read_contract
from orchestrator.analysis.account_curve import logged_risk_policy
from orchestrator.analysis.decision_replay import verify
from orchestrator.analysis.decision_replay.fills import paper_stands_for
from orchestrator.decision_log import DecisionLog
from tests.integration.security.canary import (
    NAME,
    PATH,
    Canary,
    all_spoiled,
    each_spoiled,
    most_spoiled,
)
from tests.waiting import wait_until
from tradewind.api.inference.v1 import inference_pb2
from tradewind.api.open_inference import grpc_predict_v2_pb2
from tradewind.api.risk.v1 import risk_pb2
from tradewind.api.trainer.v1 import trainer_pb2
from tradewind.bundle import BundleMetadata, BundleStore, read_bundle
from tradewind.components import Door, a_class
from tradewind.errors import TradewindError
from tradewind.jobs import JobState, TrainingJob
from tradewind.risk.policy import RiskPolicy
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import TrainerClient
from tradewind_cli.__main__ import main
from trainer_service.jobs.store import JobStore
from trainer_service.service.admission import AdmissionRules, admit
from trainer_service.tracking import TrackingConfig
from trainer_service.training.resources import JobLimits

ROOT = Path(__file__).parents[3]
STORE = ROOT / "tests" / "contract" / "bundle" / "store_v1"
RELEASE = ROOT / "tests" / "contract" / "releases" / "0.1"
TRAINING: dict[str, Any] = {
    "algorithm": "DQN",
    "algo_params": {"policy_kwargs": {"net_arch": [8], "activation_fn": "tanh"}},
    "training_params": {"total_timesteps": 1_000, "device": "cpu"},
    "risk_config": {"enabled": False},
    "data": {"symbol": "BTC", "source": None},
    "environment": {"episode_bars": 100, "reward": "log_return", "actions": "discrete"},
    "features": {"groups": [{"kind": "range_volatility"}]},
    "evaluation": {"report": False},
    "resources": {},
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    """Installed for the time of a test, which ends with nobody having touched it."""
    bird = Canary(tmp_path / "beside", ROOT)
    monkeypatch.syspath_prepend(str(bird.folder))
    sys.meta_path.insert(0, bird)
    yield bird
    sys.meta_path.remove(bird)
    assert bird.is_silent


def read_each(
    read: Callable[[Any], object],
    documents: Iterable[Any],
    canary: Canary,
    refused_by: type[Exception] = TradewindError,
) -> int:
    """Reads documents that Tradewind may refuse; gives how many it took."""
    taken = 0
    for document in documents:
        with contextlib.suppress(refused_by):
            read(document)
            taken += 1
        assert canary.is_silent, document
    return taken


def read_spoiled(read: Callable[[Any], object], document: Any, canary: Canary) -> None:
    """Reads a document that is taken as it is, and every copy of it that names the canary."""
    assert read_each(read, [document], canary) == 1, "it is refused, so its doors are not reached"
    spoiled = list(each_spoiled(document))
    assert read_each(read, spoiled, canary) < len(spoiled)


def test_canary_sings_when_a_door_is_open_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bird = Canary(tmp_path / "beside", ROOT)
    monkeypatch.syspath_prepend(str(bird.folder))
    assert {"tradewind.brokers", "tradewind.feeds", "tradewind.token_verifiers"} <= {*bird.groups}
    assert bird.is_silent
    door = Door("part", a_class(object), group="tradewind.brokers")
    for name in (NAME, PATH):
        assert door.find(name, "kind").__name__ == "Part"
    assert not bird.is_silent
    del sys.modules["canary_parts"]


def is_metadata(document: Any) -> bool:
    try:
        BundleMetadata.from_json(json.dumps(document).encode())
    except TradewindError:
        return False
    return True


def metadata_of(bundle: str) -> dict[str, Any]:
    (folder,) = (STORE / bundle).glob("*/")
    document: dict[str, Any] = json.loads((folder / "metadata.json").read_bytes())
    return document


def test_metadata_of_a_bundle_names_nothing_that_is_imported(canary: Canary) -> None:
    def read(document: Any) -> None:
        text = json.dumps(document)
        BundleMetadata.from_json(text.encode())
        read_contract(text)

    (metadata,) = RELEASE.rglob("metadata.json")
    read_spoiled(read, json.loads(metadata.read_bytes()), canary)


def test_bundle_that_names_code_everywhere_is_shown_verified_and_read_without_it(
    canary: Canary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    shutil.copytree(STORE / "tiny-dqn", store / "tiny-dqn")
    shutil.copytree(RELEASE / "store", store, dirs_exist_ok=True)
    for path in store.glob("*/*/metadata.json"):
        name = PATH if "tiny-dqn" in path.parts else NAME
        # As far as it is still a bundle: nothing but a signature would tell.
        document = most_spoiled(json.loads(path.read_bytes()), name, is_metadata)
        assert name in json.dumps(document)
        path.write_text(json.dumps(document))
        (path.parents[1] / "labels.json").write_text(json.dumps({name: name, "champion": name}))
        with contextlib.suppress(TradewindError):
            read_bundle(path.parent)
        for command in ("show", "verify"):
            main(["bundle", command, str(path.parent)])
    main(["bundle", "list", str(store)])
    capsys.readouterr()


def test_decision_log_that_names_code_is_replayed_without_it(
    canary: Canary, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    whole = DecisionLog(RELEASE / "orchestrator" / "log")
    facts = {**whole.facts, "orders": {"kind": "MARKET"}}
    terms = {"name": "venue", "fee": 0.001, "paper": facts["broker"]}
    rows = whole.ticks.slice(0, 8).to_pylist()
    for decision in (it for row in rows for it in row["decisions"]):
        decision |= {"bundle_sha256": "", "action": None}  # no bundle has to be opened
    table = pa.Table.from_pylist(rows, whole.ticks.schema)
    store = BundleStore(RELEASE / "store")

    def read(document: dict[str, Any]) -> None:
        said = {f"tradewind.{key}": json.dumps(value) for key, value in document.items()}
        path = folder / "000000000000.parquet"
        pq.write_table(table.replace_schema_metadata(said), path)
        verify(DecisionLog(folder), store)

    assert read_each(read, [facts, {**facts, "broker": terms}], canary) == 2
    spoiled = [
        {**facts, key: all_spoiled(value, (PATH, NAME)[at % 2])}
        for at, (key, value) in enumerate({**facts, "broker": terms, "extra": {}}.items())
        if key != "format_version"
    ]
    read_each(read, spoiled, canary, Exception)  # it is no log that anybody wrote
    for broker in each_spoiled(terms):
        read_each(paper_stands_for, [{**facts, "broker": broker}], canary)


def test_risk_policy_that_a_log_or_a_service_gives_names_nothing_that_is_imported(
    canary: Canary,
) -> None:
    policy = yaml.safe_load((ROOT / "config" / "risk_limits.yaml").read_text())
    canonical = json.loads(RiskPolicy.parse(policy).canonical_json())
    read_spoiled(lambda it: logged_risk_policy({"risk_policy": json.dumps(it)}), canonical, canary)


def test_routing_file_names_nothing_that_is_imported(canary: Canary) -> None:
    routing = yaml.safe_load((ROOT / "config" / "routing.yaml").read_text())
    read_spoiled(lambda it: parse_routing(yaml.safe_dump(it).encode(), "routing"), routing, canary)


@pytest.fixture(scope="module")
def rules() -> AdmissionRules:
    return AdmissionRules(
        store=Path("volume"),
        drafts=Path("kept"),
        signing_key=None,
        files=ROOT,
        risk_policy=ROOT / "config" / "risk_limits.yaml",
        tracking=TrackingConfig(),
        limits=JobLimits(),
        devices=frozenset({"auto", "cpu"}),
    )


def test_request_for_a_training_names_nothing_that_is_imported(
    canary: Canary, rules: AdmissionRules
) -> None:
    read_spoiled(lambda it: admit("p", json.dumps(it), rules), TRAINING, canary)


def messages(service: ServiceDescriptor) -> Iterator[tuple[str, Descriptor]]:
    for method in service.methods:
        yield f"/{service.full_name}/{method.name}", method.input_type


def spoil(message: Message, value: str, depth: int = 0) -> None:
    """Has every text of a request, every key and every byte string name the canary."""
    for item in message.DESCRIPTOR.fields:
        found = getattr(message, item.name)
        if item.type is FieldDescriptor.TYPE_MESSAGE and depth < 4:
            assert item.message_type is not None
            if item.message_type.GetOptions().map_entry:
                kind = item.message_type.fields_by_name["value"]
                if kind.type is FieldDescriptor.TYPE_MESSAGE:
                    spoil(found[value], value, depth + 1)
                else:
                    found[value] = value if kind.type is FieldDescriptor.TYPE_STRING else 1
            else:
                is_many = item.is_repeated
                spoil(found.add() if is_many else found, value, depth + 1)
        elif item.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            text: Any = value if item.type is FieldDescriptor.TYPE_STRING else value.encode()
            if item.is_repeated:
                found.append(text)
            else:
                setattr(message, item.name, text)


@dataclass(frozen=True)
class Stack:
    """Three services beside which the canary is installed."""

    canary: Canary
    addresses: dict[str, str]
    folder: Path


def queue(folder: Path) -> None:
    """Puts jobs into the store of a trainer that is to start, whose rows name the canary."""
    store = JobStore(f"sqlite:///{folder}/jobs.sqlite")
    one = {**TRAINING, "policy": "p", "store": str(folder / "store"), "drafts": str(folder)}
    others = {"algorithm": "DQN", "algo_params": {}, "policy": "p"}
    configs = [all_spoiled(one, PATH), {**all_spoiled(one, NAME), **others}]
    for place, config in enumerate(configs):
        job = TrainingJob(
            job_id=f"job-{place}",
            policy="p",
            config_json=json.dumps(config),
            device="cpu",
            state=JobState.QUEUED,
            created_at=1.0 + place,
        )
        store.add(job)
    store.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("closed")
    bird = Canary(folder / "beside", ROOT)
    path = os.pathsep.join([str(bird.folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    shutil.copytree(STORE, folder / "store")
    for at, metadata in enumerate((folder / "store").glob("tiny-sac/*/metadata.json")):
        document = json.loads(metadata.read_bytes())
        metadata.write_text(json.dumps(all_spoiled(document, (PATH, NAME)[at % 2])))
    routing = {"policies": {"tiny-dqn": {"variants": [{"name": "a", "target": PATH, "weight": 1}]}}}
    (folder / "store" / "routing.yaml").write_text(yaml.safe_dump(routing))
    queue(folder)
    risk_policy, database = str(ROOT / "config" / "risk_limits.yaml"), f"sqlite:///{folder}"
    settings: dict[str, dict[str, Any]] = {
        "risk": {"policy": risk_policy, "database": f"{database}/audit.sqlite"},
        "inference": {"store": str(folder / "store")},
        "trainer": {
            "store": str(folder / "store"),
            "jobs": f"{database}/jobs.sqlite",
            "files": str(ROOT),
            "risk_policy": risk_policy,
            "checkpoints": {"folder": str(folder / "checkpoints")},
        },
    }
    addresses = {}
    with ExitStack() as services:
        for name, values in settings.items():
            config = folder / f"{name}.yaml"
            config.write_text(yaml.safe_dump(values))
            flags = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
            process = services.enter_context(
                ServiceProcess(
                    f"{name}_service",
                    ["--config", str(config), *flags],
                    log=folder / f"{name}.log",
                    environment={**os.environ, "PYTHONPATH": path},
                )
            )
            addresses[name] = process.address
        yield Stack(bird, addresses, folder)


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("inference", inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]),
        ("inference", grpc_predict_v2_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]),
        ("risk", risk_pb2.DESCRIPTOR.services_by_name["RiskService"]),
        ("trainer", trainer_pb2.DESCRIPTOR.services_by_name["TrainerService"]),
    ],
    ids=["inference", "open_inference", "risk", "trainer"],
)
def test_request_of_any_method_names_nothing_that_is_imported(
    stack: Stack, name: str, service: ServiceDescriptor
) -> None:
    with grpc.insecure_channel(stack.addresses[name]) as channel:
        for path, kind in messages(service):
            method = service.methods_by_name[path.rpartition("/")[2]]
            for value in (PATH, NAME, json.dumps(all_spoiled(TRAINING))):
                request = message_factory.GetMessageClass(kind)()
                spoil(request, value)
                ask(channel, path, request.SerializeToString(), method)
                assert stack.canary.is_silent, f"{path} {value}"


def ask(channel: Any, path: str, request: bytes, method: Any) -> None:
    """Calls a method, whatever comes of it."""
    with contextlib.suppress(grpc.RpcError, StopIteration):
        if method.client_streaming:
            next(channel.stream_stream(path)(iter([request]), timeout=60.0))
        elif method.server_streaming:
            next(channel.unary_stream(path)(request, timeout=60.0))
        else:
            channel.unary_unary(path)(request, timeout=60.0)


def test_rows_of_the_job_store_name_nothing_that_is_imported(stack: Stack) -> None:
    with TrainerClient(stack.addresses["trainer"], timeout_s=60.0) as client:

        def ended() -> bool:
            return all(job.state in (JobState.FAILED, JobState.CANCELLED) for job in jobs())

        def jobs() -> list[Any]:
            return [client.get_job(name) for name in ("job-0", "job-1")]

        wait_until(ended, "every job has failed", 300.0)
        assert all(job.error for job in jobs())
    assert stack.canary.is_silent
