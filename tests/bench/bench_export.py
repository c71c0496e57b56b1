"""What a job takes after its training: evaluation, export, report and publishing.

    python -m tests.bench.bench_export

The BTC example's held-out bars (7,004 of 30 minutes): the policy and ten runs of baselines over
them, 2,000 bootstrap resamples, proof and latency of the exported network, the report, TensorBoard
and the durable write. The first training of a process, as every job is one, loads the kernels and
compresses plotly.js besides; of the three after it the medians are given.
"""

import os
import platform
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from tradewind.jobs import TrainingPhase, TrainingProgress
from tradewind.policy import use_one_torch_thread
from trainer_service.training.agent import TrainerAgent
from trainer_service.training.config import JobConfig, parse_training_config
from trainer_service.training.workspace import make_environment

RISK_POLICY = Path(__file__).parents[2] / "config" / "risk_limits.yaml"
LIMIT_S = 5.0
ROUNDS = 3
PHASES = (TrainingPhase.EVALUATING, TrainingPhase.EXPORTING, TrainingPhase.PUBLISHING)


def measure(store: str) -> list[float]:
    """Seconds of each of PHASES in one training."""
    values = {
        "algorithm": "PPO",
        "algo_params": {"n_steps": 256, "batch_size": 256},
        "training_params": {"total_timesteps": 2_048, "n_envs": 8},
        "risk_config": {"policy_yaml": RISK_POLICY},
        "store": store,
        "tracking": {"tensorboard": f"{store}/tensorboard"},
    }
    config = parse_training_config(values, JobConfig)
    began: dict[TrainingPhase, float] = {}

    def listen(progress: TrainingProgress) -> None:
        began.setdefault(progress.phase, time.perf_counter())

    TrainerAgent(config).train(make_environment(config), listen)
    times = [*(began[phase] for phase in PHASES), time.perf_counter()]
    return [end - start for start, end in pairwise(times)]


def main() -> None:
    """Measures and prints every phase."""
    use_one_torch_thread()
    with tempfile.TemporaryDirectory() as store:
        first = measure(store)
        rounds = [measure(store) for _ in range(ROUNDS)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, after a training on the BTC bars:")
    for phase, seconds in zip(PHASES, zip(*rounds, strict=True), strict=True):
        print(f"{phase.value:12} {statistics.median(seconds):6.2f} s")
    total = statistics.median(sum(seconds) for seconds in rounds)
    print(f"{'together':12} {total:6.2f} s")
    print(f"{'first':12} {sum(first):6.2f} s, of {LIMIT_S:g} s allowed")


if __name__ == "__main__":
    main()
