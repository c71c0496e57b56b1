"""A stolen key, seen by a server and its callers: what it signed answers no more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradewind.bundle import BundleStore, SigningKey, write_freshness
from tradewind.errors import UnavailableError
from tradewind.rpc import RpcServer
from tradewind.rpc.clients import InferenceClient

OBSERVATION = np.zeros(6, np.float32)


def test_server_whose_store_revokes_a_key_answers_no_more_until_another_has_signed(
    tmp_path: Path,
    store: BundleStore,
    publish: Callable[..., str],
    serve_here: Callable[..., RpcServer],
    connect: Callable[[Any], InferenceClient],
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    officer = SigningKey.create(tmp_path / "officer.key")
    trainer = SigningKey.create(tmp_path / "trainer.key")
    version = publish()
    store.sign("tiny-dqn", version, trainer)
    trusted = (tmp_path / "officer.key.pub", tmp_path / "trainer.key.pub")
    client = connect(serve_here(trusted_keys=trusted))
    assert client.predict(OBSERVATION).version == version

    write_freshness(store.root, officer, revoked_keys=[trainer.key_id])
    wait_until(lambda: not client.is_serving())
    with pytest.raises(UnavailableError):
        client.predict(OBSERVATION)
    (refused,) = client.list_policies().quarantined_versions
    assert (refused.version, refused.reason) == (version, "SIGNATURE_REVOKED")

    store.sign("tiny-dqn", version, officer)
    wait_until(client.is_serving)
    assert client.predict(OBSERVATION).version == version
