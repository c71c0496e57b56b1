"""A bundle's network as a policy, whatever executes it. Needs no torch."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tradewind.bundle import Bundle, BundleFault, BundleMetadata, DiscreteSpace, GoldenSet
from tradewind.errors import BundleRuntimeError
from tradewind.policy.observation import ObservationReader
from tradewind.policy.protocol import Network, PolicyAction, PredictionInfo
from tradewind.policy.sampling import ActionSampler, fresh_seed

__all__ = ["BundlePolicy"]


class BundlePolicy:
    """The policy of a bundle; an RLPolicy.

    Args:
        bundle: A verified bundle.
        network: Executes the bundle's network.
        runtime_reason: Why that is not the compiled runtime; empty when it is.

    Attributes:
        metadata_json: metadata.json as published.
        signature: Who has signed the bundle; None where nobody has, or nobody has looked.
        golden: Recorded observations and answers.
        runtime_reason: As given.
    """

    def __init__(self, bundle: Bundle, network: Network, runtime_reason: str) -> None:
        self.metadata_json = bundle.metadata_json
        self.signature = bundle.signature
        self.golden: GoldenSet = bundle.golden
        self.runtime_reason = runtime_reason
        self._metadata = bundle.metadata
        self._network = network
        self._reader = ObservationReader(bundle.metadata.obs_space)
        self._sampler = ActionSampler(bundle.metadata)
        space = bundle.metadata.action_space
        self._discrete = isinstance(space, DiscreteSpace)
        # A compiled argmax is an index of its own output; TorchScript may give any number.
        self._bound = (
            space.n if isinstance(space, DiscreteSpace) and network.runtime != "compiled" else None
        )

    def __repr__(self) -> str:
        about = self._metadata
        named = f"{about.name} {about.version}, {about.algo}, {self.runtime}"
        return f"{type(self).__name__}({named})"

    def _repr_html_(self) -> str:
        runtime = f"{self.runtime} {self.runtime_reason}".strip()
        return self._metadata.html(runtime=runtime)

    @property
    def metadata(self) -> BundleMetadata:
        """What the bundle says about itself."""
        return self._metadata

    @property
    def runtime(self) -> str:
        """What executes the network."""
        return self._network.runtime

    @property
    def memory_bytes(self) -> int:
        """Of the arrays of the network and the golden answers."""
        golden = (self.golden.observations, self.golden.actions, self.golden.distribution)
        return self._network.memory_bytes + sum(array.nbytes for array in golden)

    def warm_up(self) -> None:
        """Runs the network until its first, slow calls are over."""
        self._network.warm_up(self.golden.observations)

    def predict(
        self,
        observation: ArrayLike,
        *,
        deterministic: bool = True,
        seed: int | None = None,
        with_distribution: bool = False,
    ) -> tuple[PolicyAction, PredictionInfo]:
        """The action for one observation; see RLPolicy."""
        rows = self._reader.one(observation)
        actions, info = self._answer(rows, deterministic, seed, with_distribution)
        if with_distribution:
            info["distribution"] = info["distribution"][0]
        action: PolicyAction = int(actions[0]) if self._discrete else actions[0]
        return action, info

    def predict_batch(
        self,
        observations: ArrayLike,
        *,
        deterministic: bool = True,
        seed: int | None = None,
        with_distribution: bool = False,
    ) -> tuple[NDArray[Any], PredictionInfo]:
        """The actions for N observations; see RLPolicy.

        One pass of the network, and a second one when the distribution is asked for beside
        deterministic actions; `model_compute_ns` has the time of both.
        """
        rows = self._reader.batch(observations)
        return self._answer(rows, deterministic, seed, with_distribution)

    def _answer(
        self,
        rows: NDArray[np.float32],
        deterministic: bool,
        seed: int | None,
        with_distribution: bool,
    ) -> tuple[NDArray[Any], PredictionInfo]:
        parameters: NDArray[np.float32] | None = None
        if deterministic:
            actions, elapsed = self._network.act(rows)
        else:
            parameters, elapsed = self._network.distribution(rows)
            _check_finite(parameters, "distribution")
            seed = fresh_seed() if seed is None else seed
            actions = self._sampler.sample(parameters, seed)
        if not self._discrete:
            _check_finite(actions, "action")
        elif min(actions.tolist()) < 0:
            raise _not_finite("distribution")
        elif self._bound is not None and max(actions.tolist()) >= self._bound:
            raise _no_action(self._bound)
        info: PredictionInfo = {
            "model_compute_ns": elapsed,
            "version": self._metadata.version,
            "bundle_sha256": self._metadata.sha256,
        }
        if not deterministic:
            assert seed is not None
            info["seed"] = seed
        if with_distribution:
            if parameters is None:
                parameters, more = self._network.distribution(rows)
                _check_finite(parameters, "distribution")
                info["model_compute_ns"] += more
            info["distribution"] = parameters
        return actions, info


def _check_finite(values: NDArray[Any], name: str) -> None:
    if not np.isfinite(values).all():
        raise _not_finite(name)


def _no_action(count: int) -> BundleRuntimeError:
    return BundleRuntimeError(
        f"the network gives an action that is none of 0 to {count - 1}",
        reason=BundleFault.MODEL_OUTPUT_INVALID,
    )


def _not_finite(name: str) -> BundleRuntimeError:
    """A network may overflow on a finite observation; that must not become an order."""
    return BundleRuntimeError(
        f"the network gives a NaN or infinite {name} for this observation",
        reason=BundleFault.MODEL_OUTPUT_INVALID,
    )
