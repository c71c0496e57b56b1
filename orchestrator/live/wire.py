"""How settings, ticks and the status go from the orchestrator to the process of the live view.

A message is its length in four bytes, a letter for what it is, and JSON.
"""

import asyncio
import base64
import dataclasses
from typing import Final

from pydantic import TypeAdapter
from pydantic_core import to_json

from orchestrator.events import Status
from orchestrator.records import PolicyDecision, TickRecord
from orchestrator.settings import OrchestratorSettings
from tradewind.part_options import NOT_LOOKED_UP

__all__ = ["Message", "MessageReader", "encode"]

_LENGTH_BYTES: Final = 4
_SETTINGS, _STATUS, _TICK = b"S", b"U", b"T"

Message = OrchestratorSettings | Status | TickRecord


def encode(message: Message) -> bytes:
    """A message as it is sent."""
    kind = _TICK if isinstance(message, TickRecord) else _STATUS
    if isinstance(message, OrchestratorSettings):
        kind = _SETTINGS
    body = to_json(message, bytes_mode="base64", inf_nan_mode="constants")
    return (len(body) + 1).to_bytes(_LENGTH_BYTES, "big") + kind + body


class MessageReader:
    """Reads messages from a stream.

    Args:
        stream: What the orchestrator writes.
    """

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._tick: TypeAdapter[TickRecord] = TypeAdapter(TickRecord)
        self._status: TypeAdapter[Status] = TypeAdapter(Status)

    async def read(self) -> Message | None:
        """The next message; None when the orchestrator is gone."""
        try:
            length = int.from_bytes(await self._stream.readexactly(_LENGTH_BYTES), "big")
            data = await self._stream.readexactly(length)
        except asyncio.IncompleteReadError:
            return None
        kind, body = data[:1], data[1:]
        if kind == _SETTINGS:
            return OrchestratorSettings.model_validate_json(body, context=NOT_LOOKED_UP)
        if kind == _STATUS:
            return self._status.validate_json(body)
        tick = self._tick.validate_json(body)
        decisions = tuple(_with_bytes(decision) for decision in tick.decisions)
        return dataclasses.replace(tick, decisions=decisions)


def _with_bytes(decision: PolicyDecision) -> PolicyDecision:
    # JSON has no bytes: the observation came as the text of its base64.
    observation = base64.urlsafe_b64decode(decision.observation)
    return dataclasses.replace(decision, observation=observation)
