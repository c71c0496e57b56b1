"""What a load asks, and the answers that it must get: a file from whoever knows to who asks."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tradewind.api.risk.v1 import risk_pb2
from tradewind.risk import RiskInputs
from tradewind.rpc.risk.risk_codec import risk_inputs_from_message, risk_inputs_to_message

__all__ = ["AccountQuestion", "Questions"]


@dataclass(frozen=True, slots=True)
class AccountQuestion:
    """An account at the close of a bar, and what is true of it.

    Attributes:
        inputs: The account.
        metric_values: Its metrics, to the last bit.
        unavailable: Why the others have no value.
        action: What its rules demand, however often they are asked.
    """

    inputs: RiskInputs
    metric_values: Mapping[str, float]
    unavailable: Mapping[str, str]
    action: str


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """Everything that is asked.

    Attributes:
        policy: The policy that predicts.
        version: Its version.
        bundle_sha256: Digest of its network.
        observations: What it sees. Shape [n, size].
        actions: What it does then. Shape [n].
        accounts: Accounts to calculate and to evaluate.
        halted_account: One that was told to HALT, and is told so ever after.
        risk_policy_digest: The risk policy in force.
        job_id: A job of the trainer.
    """

    policy: str
    version: str
    bundle_sha256: str
    observations: NDArray[np.float32]
    actions: NDArray[np.int64]
    accounts: tuple[AccountQuestion, ...]
    halted_account: str
    risk_policy_digest: str
    job_id: str

    def write(self, path: Path) -> None:
        """Writes them as JSON, in which every number is what it was."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        values["observations"] = self.observations.tolist()
        values["actions"] = self.actions.tolist()
        values["accounts"] = [
            {
                "inputs": base64.b64encode(
                    risk_inputs_to_message(account.inputs).SerializeToString()
                ).decode(),
                "metric_values": dict(account.metric_values),
                "unavailable": dict(account.unavailable),
                "action": account.action,
            }
            for account in self.accounts
        ]
        path.write_text(json.dumps(values, allow_nan=False))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what `write` wrote."""
        values = json.loads(path.read_text())
        values["observations"] = np.array(values["observations"], dtype=np.float32)
        values["actions"] = np.array(values["actions"], dtype=np.int64)
        values["accounts"] = tuple(
            AccountQuestion(
                risk_inputs_from_message(
                    risk_pb2.RiskInputs.FromString(base64.b64decode(account.pop("inputs")))
                ),
                **account,
            )
            for account in values["accounts"]
        )
        return cls(**values)
