"""Networks that would do more than calculate, some of them to the file that they are given."""

import torch
from torch import Tensor, nn

__all__ = ["IN_A_SEAL", "NETWORKS", "Hostile"]


class Hostile(nn.Module):
    """Behaves, but for what a subclass adds.

    Args:
        path: A file that is none of a network's business.
    """

    weight: Tensor

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.register_buffer("weight", torch.ones(1))

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).argmax(dim=1)

    @torch.jit.export
    def distribution(self, obs: Tensor) -> Tensor:
        return obs.flatten(1)[:, :3] * self.weight


class ReadsInForward(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        found = torch.from_file(self.path, False, 4, dtype=torch.uint8)
        return self.distribution(obs).argmax(dim=1) + found[0]


class WritesInForward(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        written = torch.from_file(self.path, True, 4, dtype=torch.uint8).fill_(65)
        return self.distribution(obs).argmax(dim=1) + written[0]


class ReadsWhenTold(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        if bool(obs.max() > 50.0):
            return torch.from_file(self.path, False, 4, dtype=torch.uint8).long()
        return self.distribution(obs).argmax(dim=1)


class WritesWhileItLoads(Hostile):
    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        self.weight = torch.from_file(self.path, True, 4, dtype=torch.uint8).fill_(65).float()[:1]


class Writer(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, obs: Tensor) -> Tensor:
        return obs + torch.from_file(self.path, True, 4, dtype=torch.uint8).fill_(65)[0]


class WritesInASubmodule(Hostile):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.writer = Writer(path)

    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(self.writer(obs)).argmax(dim=1)


class WritesInAMethodNeverCalled(Hostile):
    @torch.jit.export
    def extra(self) -> Tensor:
        return torch.from_file(self.path, True, 4, dtype=torch.uint8).fill_(65)


class WritesWhileItFreezes(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        if float(self.weight) > 0.0:
            return torch.from_file(self.path, True, 4, dtype=torch.uint8).fill_(65).long()
        return self.distribution(obs).argmax(dim=1)


class Saves(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        torch.save(obs, self.path)
        return self.distribution(obs).argmax(dim=1)


class Prints(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        print(obs)
        return self.distribution(obs).argmax(dim=1)


def _later(obs: Tensor) -> Tensor:
    return obs + 1.0


class Forks(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        later = torch.jit.fork(_later, obs)  # type: ignore[no-untyped-call]
        found: Tensor = torch.jit.wait(later)  # type: ignore[no-untyped-call]
        return found.argmax(dim=1)


class Seeds(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        torch.manual_seed(1)
        return self.distribution(obs).argmax(dim=1)


class ReadsOldMemory(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        return torch.empty([obs.shape[0], 3]).argmax(dim=1)


class ReadsBesideATensor(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        return obs.as_strided([1, 3], [1, 1], 1_000_000).argmax(dim=1)


class Resizes(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        return self.distribution(obs).resize_([1, 1 << 20]).argmax(dim=1)


class Counts(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        self.weight.add_(1.0)
        return self.distribution(obs).argmax(dim=1)


class CountsThroughAView(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        self.weight.view(1, 1)[0].add_(1.0)
        return self.distribution(obs).argmax(dim=1)


class Remembers(Hostile):
    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.calls = 0

    def forward(self, obs: Tensor) -> Tensor:
        self.calls += 1
        return self.distribution(obs).argmax(dim=1) * (1 if self.calls < 1_000 else 0)


class Learns(Hostile):
    mean: Tensor
    variance: Tensor

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("variance", torch.ones(3))

    def forward(self, obs: Tensor) -> Tensor:
        values = self.distribution(obs)
        normal = torch.batch_norm(
            values, None, None, self.mean, self.variance, True, 0.1, 1e-5, False
        )
        return normal.argmax(dim=1)


class Endless(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        while obs.numel() > 0:
            obs = obs + 1.0
        return obs


class EndlessWhileItFreezes(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        count = self.weight
        while bool(count > 0.0):
            count = count + 1.0
        return self.distribution(obs).argmax(dim=1)


class NearlyEndless(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        for _ in range(1 << 60):
            obs = obs + 1.0
        return self.distribution(obs).argmax(dim=1)


class TakesMemoryAtOnce(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        return torch.zeros([obs.shape[0], 1 << 38]).argmax(dim=1)


class TakesMemoryBitByBit(Hostile):
    def forward(self, obs: Tensor) -> Tensor:
        kept = [obs]
        for _ in range(90_000):
            kept += [obs.repeat([1 << 18, 1])]
        return kept[-1][: obs.shape[0]].long()


FORBIDDEN = "MODEL_OPERATION_FORBIDDEN"

# Each with the reason of its refusal, and what the message names.
NETWORKS: tuple[tuple[type[Hostile], str, str], ...] = (
    (ReadsInForward, FORBIDDEN, "aten::from_file"),
    (WritesInForward, FORBIDDEN, "aten::from_file"),
    (ReadsWhenTold, FORBIDDEN, "aten::from_file"),
    (WritesWhileItLoads, FORBIDDEN, "__getstate__"),
    (WritesInASubmodule, FORBIDDEN, "aten::from_file"),
    (WritesInAMethodNeverCalled, FORBIDDEN, "aten::from_file"),
    (WritesWhileItFreezes, FORBIDDEN, "aten::from_file"),
    (Saves, FORBIDDEN, "aten::save"),
    (Prints, FORBIDDEN, "print"),
    (Forks, FORBIDDEN, ""),
    (Seeds, FORBIDDEN, "aten::manual_seed"),
    (ReadsOldMemory, FORBIDDEN, "aten::empty"),
    (ReadsBesideATensor, FORBIDDEN, "aten::as_strided"),
    (Resizes, FORBIDDEN, "aten::resize_"),
    (Counts, FORBIDDEN, "aten::add_"),
    (CountsThroughAView, FORBIDDEN, "aten::add_"),
    (Remembers, FORBIDDEN, "assignment"),
    (Learns, FORBIDDEN, "aten::batch_norm"),
    (Endless, FORBIDDEN, "while"),
    (EndlessWhileItFreezes, FORBIDDEN, "while"),
    (NearlyEndless, FORBIDDEN, "loop of"),
    (TakesMemoryAtOnce, "MODEL_OUTPUT_INVALID", ""),
)

# In a sealed process with limits of memory and time, and the reasons of their refusals.
IN_A_SEAL: tuple[tuple[type[Hostile], frozenset[str]], ...] = (
    (Endless, frozenset(("MODEL_LOAD_TIMEOUT",))),
    (EndlessWhileItFreezes, frozenset(("MODEL_LOAD_TIMEOUT",))),
    (NearlyEndless, frozenset(("MODEL_LOAD_TIMEOUT",))),
    (TakesMemoryAtOnce, frozenset(("MODEL_OUTPUT_INVALID", "MODEL_TOO_LARGE"))),
    (TakesMemoryBitByBit, frozenset(("MODEL_OUTPUT_INVALID", "MODEL_TOO_LARGE"))),
)
