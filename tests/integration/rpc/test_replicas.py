"""One client, two replicas: calls in turn, and none lost when one of them goes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from prometheus_client import CollectorRegistry

from tradewind import errors
from tradewind.api.inference.v1 import inference_pb2, inference_pb2_grpc
from tradewind.rpc import RpcServer, ServerSettings
from tradewind.rpc.clients import InferenceClient

SERVICE = "tradewind.api.inference.v1.InferenceService"
CALLS = 20


class Replica(inference_pb2_grpc.InferenceServiceServicer):
    """Counts its calls, and refuses all of them while it is not ready."""

    def __init__(self) -> None:
        self.answered = 0
        self.refused = 0
        self.ready = True
        self.address = ""

    def ListPolicies(self, request: object, context: object) -> inference_pb2.ListPoliciesResponse:
        if not self.ready:
            self.refused += 1
            raise errors.UnavailableError("nothing is served yet")
        self.answered += 1
        return inference_pb2.ListPoliciesResponse()


@contextmanager
def serving(replica: Replica) -> Iterator[None]:
    settings = ServerSettings(listen="127.0.0.1:0", drain_s=0)
    server = RpcServer("replica", settings, CollectorRegistry())
    server.add_service(
        SERVICE, lambda to: inference_pb2_grpc.add_InferenceServiceServicer_to_server(replica, to)
    )
    with server.running():
        server.set_serving(True)
        replica.address = server.address
        yield


@pytest.fixture
def replicas() -> Iterator[tuple[Replica, Replica, ExitStack]]:
    """Two replicas, and what stops the second one."""
    first, second = Replica(), Replica()  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
    with serving(first), ExitStack() as second_server:
        second_server.enter_context(serving(second))
        yield first, second, second_server


def both(replicas: tuple[Replica, Replica, ExitStack]) -> list[str]:
    return [replica.address for replica in replicas[:2]]


def test_client_with_two_addresses_calls_them_in_turn(
    replicas: tuple[Replica, Replica, ExitStack],
) -> None:
    with InferenceClient(",".join(both(replicas)), timeout_s=20) as client:
        client.wait_ready(20)
        while not all(replica.answered for replica in replicas[:2]):
            client.list_policies()  # the second connection comes up some calls after the first
        before = [replica.answered for replica in replicas[:2]]
        for _ in range(CALLS):
            client.list_policies()
    shares = [replicas[0].answered - before[0], replicas[1].answered - before[1]]
    assert sum(shares) == CALLS
    assert min(shares) >= CALLS // 4


def test_client_with_a_replica_that_is_not_ready_retries_on_the_other(
    replicas: tuple[Replica, Replica, ExitStack],
) -> None:
    first, second, _ = replicas
    second.ready = False
    with InferenceClient(both(replicas), timeout_s=20) as client:
        while not second.refused:
            client.list_policies()
    assert first.answered >= 1


def test_client_with_a_replica_that_drains_loses_no_call(
    replicas: tuple[Replica, Replica, ExitStack],
) -> None:
    first, second, second_server = replicas
    with InferenceClient(both(replicas), timeout_s=20) as client:
        while not second.answered:
            client.list_policies()
        second_server.close()
        before = first.answered
        for _ in range(CALLS):
            client.list_policies()
    assert first.answered == before + CALLS


def test_client_with_no_replica_up_says_so(replicas: tuple[Replica, Replica, ExitStack]) -> None:
    replicas[2].close()
    with InferenceClient([replicas[1].address, replicas[1].address], timeout_s=20) as client:
        with pytest.raises(errors.UnavailableError, match=replicas[1].address):
            client.list_policies()
        with pytest.raises(errors.UnavailableError, match=r"did not serve within 0\.1 s"):
            client.wait_ready(0.1)
