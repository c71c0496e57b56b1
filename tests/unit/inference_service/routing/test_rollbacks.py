from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inference_service.routing.rollbacks import RollbackStore
from tradewind.errors import NotFoundError, StorageError
from tradewind.serving import Rollback


def rollback(variant: str, cause: str = "REQUESTED") -> Rollback:
    return Rollback(
        policy="btc", variant=variant, cause=cause, reason="why", name="Ada", rolled_back_at=1.0
    )


def test_rollbacks_by_several_writers_are_all_kept(tmp_path: Path) -> None:
    stores = [RollbackStore(tmp_path / "state") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: stores[n].add(rollback(f"v{n}")), range(8)))
    kept = RollbackStore(tmp_path / "state").read()
    assert {one.variant for one in kept.rollbacks} == {f"v{n}" for n in range(8)}


def test_rollback_of_a_variant_that_is_out_leaves_the_first_cause(tmp_path: Path) -> None:
    store = RollbackStore(tmp_path)
    store.add(rollback("bold", "MODEL_COMPUTE"))
    assert store.add(rollback("bold")).rollbacks == (rollback("bold", "MODEL_COMPUTE"),)


def test_rollback_that_is_ended_leaves_who_and_why(tmp_path: Path) -> None:
    store = RollbackStore(tmp_path)
    store.add(rollback("bold"))
    with pytest.raises(NotFoundError, match="'other' of policy 'btc' is not rolled back"):
        store.end("btc", "other", name="Bob", reason="fixed", now=2.0)
    assert store.end("btc", "bold", name="Bob", reason="fixed", now=2.0)[0] == rollback("bold")
    state = store.read()
    assert state.rollbacks == ()
    (ended,) = state.reinstatements
    assert (ended.rollback, ended.name, ended.reason) == (rollback("bold"), "Bob", "fixed")
    assert state.reinstated_at("btc", "bold") == 2.0
    assert state.reinstated_at("btc", "other") == 0.0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rollbacks": [{}]}', '{"format_version": 2}'])
def test_file_that_is_not_what_was_written_is_an_error_and_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / "rollbacks.json").write_text(text)
    store = RollbackStore(tmp_path)
    for use in (store.read, lambda: store.add(rollback("bold"))):
        with pytest.raises(StorageError, match="rollbacks cannot be read"):
            use()
    assert (tmp_path / "rollbacks.json").read_text() == text


def test_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write to"):
        RollbackStore(tmp_path / "file" / "state").add(rollback("bold"))
