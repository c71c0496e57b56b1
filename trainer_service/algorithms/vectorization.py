"""How many environments an algorithm is trained in by default, and with what parameters.

The step of a VectorizedTradingEnv costs next to nothing, so what limits a training is the network:
its calls while it acts, which more environments share, and its updates, which fewer and larger
batches make cheaper. The parameters here go with their number of environments and no other; a
configuration that says `n_envs` gets the defaults of Stable-Baselines3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

__all__ = [
    "LARGE_BATCHES",
    "LARGE_EPOCHS",
    "OFF_POLICY",
    "SHORT_ROLLOUTS",
    "SINGLE",
    "VALUE_BASED",
    "Vectorization",
]


@dataclass(frozen=True)
class Vectorization:
    """Environments stepped together, and the defaults that go with them.

    Attributes:
        n_envs: How many.
        shortest_run: Environment steps in all below which a run is trained in one environment with
            the defaults of the library: too few updates would be left of it.
        defaults: Parameters that differ from the library's.
    """

    n_envs: int
    shortest_run: int
    defaults: Mapping[str, Any]


SINGLE: Final = Vectorization(1, 0, MappingProxyType({}))

# 8 batches of 1,024 an epoch, where the library takes 32 of 64.
LARGE_EPOCHS: Final = Vectorization(
    64, 100_000, MappingProxyType({"n_steps": 128, "batch_size": 1_024, "n_epochs": 5})
)

LARGE_BATCHES: Final = Vectorization(
    64, 100_000, MappingProxyType({"n_steps": 128, "batch_size": 1_024})
)

SHORT_ROLLOUTS: Final = Vectorization(64, 100_000, MappingProxyType({"n_steps": 16}))

# 4 updates of 128 transitions every 64 steps, where the library takes 16 of 32: as many transitions
# are replayed for each step of the environment, in a quarter of the updates.
VALUE_BASED: Final = Vectorization(
    16, 50_000, MappingProxyType({"train_freq": 4, "gradient_steps": 4, "batch_size": 128})
)

# 4 updates every 16 steps, where the library takes 16.
OFF_POLICY: Final = Vectorization(
    16, 50_000, MappingProxyType({"train_freq": 1, "gradient_steps": 4})
)
