"""What a shadow would have answered: as the server keeps it, and as its clients get it."""

from dataclasses import dataclass

__all__ = ["ShadowAnswer"]


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """What a shadow would have answered, beside what was answered.

    Attributes:
        policy: The policy that is routed.
        shadow: Name of the shadow.
        shadow_version: Its version.
        variant: Who answered.
        version: Its version.
        request_id: That of the call.
        routing_key: Likewise.
        row_count: Rows of the call.
        differing_row_count: Rows whose actions differ; of a continuous action, by more than 1e-5.
        actions: What was answered, row-major, the first 64 values.
        shadow_actions: What the shadow gave; empty when it failed.
        failure: Why it failed; empty when it did not.
        answered_at: Seconds since the epoch.
    """

    policy: str
    shadow: str
    shadow_version: str
    variant: str
    version: str
    request_id: str
    routing_key: str
    row_count: int
    differing_row_count: int
    actions: tuple[float, ...]
    shadow_actions: tuple[float, ...]
    failure: str
    answered_at: float
