from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inference_service.awaited import UnawaitedError
from inference_service.registry import LoadedVersion, Registry
from inference_service.routing import RollbackStore, Router, RoutingFollower, RoutingSource
from inference_service.routing.routes import Tally
from tradewind.bundle import BundleStore
from tradewind.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    UnavailableError,
)

POLICY = "tiny-dqn"
Load = Callable[[Path], LoadedVersion]


class Desk:
    """A store with two versions, and what follows the routing of it."""

    def __init__(self, store: BundleStore, load: Load, publish: Callable[..., str]) -> None:
        self.store = store
        self.versions = [publish(), publish()]
        self.registry = Registry()
        for version in self.versions:
            self.registry.serve(load(store.path(POLICY, version)))
        self.state = store.root / ".routing"
        self.ready: list[str] = []
        self.start()

    def start(self) -> None:
        """A new process on the same store and state."""
        self.router = Router(self.registry)
        rollbacks = RollbackStore(self.state)
        source = RoutingSource(
            self.store.root / "routing.yaml",
            self.store,
            lambda _: {},
            rollbacks,
            is_required=False,
        )
        self.follower = RoutingFollower(
            source, self.registry, self.router, rollbacks, on_ready=self.ready.append
        )

    def write(self, **bounds: Any) -> None:
        steady, bold = self.versions
        variants: list[dict[str, Any]] = [
            {"name": "steady", "target": steady, "weight": 0.5},
            {"name": "bold", "target": bold, "weight": 0.5},
        ]
        if bounds:
            variants[1]["bounds"] = bounds
        self.write_text(yaml.safe_dump({"policies": {POLICY: {"variants": variants}}}))

    def write_text(self, text: str) -> None:
        (self.store.root / "routing.yaml").write_text(text)

    def answering(self) -> set[str]:
        """Who answers sixty keys; the served version has no name."""
        chosen = [self.router.resolve(POLICY, "", "", f"key {n}")[1] for n in range(60)]
        return {variant.name if variant is not None else "" for variant in chosen}


@pytest.fixture
def desk(store: BundleStore, load: Load, publish: Callable[..., str]) -> Desk:
    return Desk(store, load, publish)


def test_scan_without_a_file_routes_nothing(desk: Desk) -> None:
    desk.follower.scan()
    assert desk.router.table is None
    assert desk.answering() == {""}
    assert desk.ready == [POLICY]


def test_bad_file_where_none_was_before_changes_nothing(desk: Desk) -> None:
    desk.follower.scan()
    desk.write_text("policies: 1")
    desk.follower.scan()
    assert "(line 1)" in desk.follower.view.refusal
    assert desk.answering() == {""}


def test_bad_file_at_a_start_with_no_good_one_known_answers_no_call_that_it_could_route(
    desk: Desk,
) -> None:
    desk.write_text("policies: 1")
    desk.follower.scan()
    with pytest.raises(UnavailableError, match="no routing is in force: .* is refused"):
        desk.answering()
    assert desk.ready == []
    assert desk.router.resolve(POLICY, desk.versions[0], "", "")[1] is None
    desk.write()
    desk.follower.scan()
    assert desk.answering() == {"steady", "bold"}
    assert desk.ready == [POLICY]


@pytest.mark.parametrize("text", ["policies: 1", None])
def test_bad_or_lost_file_at_a_start_leaves_the_one_accepted_last_in_force(
    desk: Desk, text: str | None
) -> None:
    desk.write()
    desk.follower.scan()
    if text is None:
        (desk.store.root / "routing.yaml").unlink()
    else:
        desk.write_text(text)
    desk.start()
    desk.follower.scan()
    assert desk.answering() == {"steady", "bold"}
    assert desk.follower.view.refusal


def test_routing_that_is_ended_may_lose_its_file(desk: Desk) -> None:
    desk.write()
    desk.follower.scan()
    desk.write_text("policies: {}")
    desk.follower.scan()
    (desk.store.root / "routing.yaml").unlink()
    desk.follower.scan()
    assert (desk.router.table, desk.follower.view.refusal) == (None, "")


def test_state_that_cannot_be_read_takes_every_challenger_out(desk: Desk) -> None:
    desk.write()
    desk.state.mkdir()
    (desk.state / "rollbacks.json").write_text("{")
    desk.follower.scan()
    assert desk.answering() == {"steady"}
    assert "cannot be read" in desk.follower.view.state_problem
    (desk.state / "rollbacks.json").unlink()
    desk.follower.scan()
    assert desk.answering() == {"steady", "bold"}


def test_bounds_without_a_folder_for_rollbacks_are_refused(desk: Desk) -> None:
    desk.state.write_text("a file where a folder should be")
    desk.write(error_share=0.1)
    desk.follower.scan()
    assert "for which routing_state must be writable" in desk.follower.view.refusal


def test_rollback_that_cannot_be_kept_is_in_force_and_kept_later(desk: Desk) -> None:
    desk.write()
    desk.follower.scan()
    moved = desk.state.rename(desk.state.with_name("moved"))
    desk.state.write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="'bold' is rolled back in this process alone"):
        desk.follower.roll_back(POLICY, "bold", name="Ada", reason="drawdown")
    assert desk.answering() == {"steady"}
    desk.state.unlink()
    moved.rename(desk.state)
    desk.follower.scan()
    desk.start()
    desk.follower.scan()
    assert desk.answering() == {"steady"}


def test_challenger_over_its_error_share_is_out_until_it_is_reinstated(desk: Desk) -> None:
    desk.write(error_share=0.1, window_calls=10)
    desk.follower.scan()
    table = desk.router.table
    assert table is not None
    bold = table.routes[POLICY].answering[1]
    assert bold is not None
    for blameless in (UnawaitedError("gone"), InvalidInputError("bad")):
        for _ in range(20):
            bold.failed(blameless)
    desk.follower.scan()
    assert desk.answering() == {"steady", "bold"}
    bold.failed(NotFoundError("one"))
    desk.follower.scan()
    assert desk.answering() == {"steady", "bold"}
    bold.failed(NotFoundError("two"))
    desk.follower.scan()
    assert desk.answering() == {"steady"}
    (rollback,) = desk.follower.view.state.rollbacks  # type: ignore[union-attr]
    assert (rollback.cause, rollback.name) == ("ERROR_SHARE", "inference_service")
    # The first cause stands, and what led to it is not judged again after a reinstatement.
    assert desk.follower.roll_back(POLICY, "bold", name="Ada", reason="too") == rollback
    assert desk.follower.reinstate(POLICY, "bold", name="Ada", reason="fixed") == rollback
    desk.follower.scan()
    assert desk.answering() == {"steady", "bold"}


def test_champion_or_unknown_variant_cannot_be_rolled_back(desk: Desk) -> None:
    desk.write()
    desk.follower.scan()
    with pytest.raises(ConflictError, match="'steady' of policy 'tiny-dqn' is the champion"):
        desk.follower.roll_back(POLICY, "steady", name="Ada", reason="why")
    with pytest.raises(NotFoundError, match="it has tiny-dqn/steady, tiny-dqn/bold"):
        desk.follower.roll_back(POLICY, "none", name="Ada", reason="why")


def test_challenger_of_another_contract_gets_no_call(
    desk: Desk, load: Load, publish: Callable[..., str]
) -> None:
    other = publish("tiny-sac")
    desk.registry.serve(load(desk.store.path("tiny-sac", other)))
    desk.versions[1] = f"tiny-sac/{other}"
    desk.write()
    desk.follower.scan()
    assert desk.answering() == {"steady"}
    bold = desk.follower.view.statuses[1]
    assert (bold.state.value, bold.share) == ("OTHER_CONTRACT", 0.0)


def test_champion_that_is_lost_is_replaced_by_nobody(desk: Desk) -> None:
    desk.write()
    desk.follower.scan()
    chosen = {n: desk.router.resolve(POLICY, "", "", f"key {n}")[1] for n in range(60)}
    of_bold = next(n for n, one in chosen.items() if one is not None and one.name == "bold")
    desk.registry.retain(POLICY, ())  # the served version, bold, stays
    desk.follower.scan()
    bold = desk.router.resolve(POLICY, "", "", f"key {of_bold}")[1]
    assert bold is not None
    assert bold.name == "bold"
    with pytest.raises(UnavailableError, match="champion 'steady' .* is not loaded"):
        desk.answering()


@given(st.integers(1, 5), st.integers(1, 5))
def test_counts_of_calls_add_up(answered: int, failed_over: int) -> None:
    tally = Tally(100.0)
    for number in range(answered):
        tally.answered(100 + number)
    for _ in range(failed_over):
        tally.failed_over()
    counts = tally.counts()
    assert (counts.answered, counts.over_limit) == (answered, answered - 1)
    assert (counts.failed, counts.failed_over) == (0, failed_over)
