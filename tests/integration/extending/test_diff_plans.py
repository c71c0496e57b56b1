"""How many files of the product a new part of Tradewind's own takes, and that no other is needed.

docs/extending/diff-plans.md has the same numbers. Each plan is carried out on a copy of the
packages, and a fresh process uses what was added.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "extending" / "diff-plans.md").read_text()
COPIED = ("tradewind", "trainer_service", "orchestrator")
Edit = tuple[str, str]  # what stands in a file, and what stands there afterwards
Plan = Mapping[str, str | tuple[Edit, ...]]  # a new file's text, or the edits of one

CALCULATOR = """
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_values, put
from tradewind.risk.inputs import FloatArray


class WorstDrawdownSettings(CalculatorSettings):
    window_bars: int = 256


@compiled
def calculate(config: Record, account: Record, drawdowns: FloatArray, out: FloatArray) -> None:
    if lacks_values(account, out, config.worst_drawdown, 1, 1):
        return
    worst = 0.0
    for drawdown in drawdowns[-min(config.worst_drawdown_window_bars, drawdowns.size) :]:
        worst = max(worst, drawdown)
    put(out, config.worst_drawdown, worst)


WORST_DRAWDOWN: Final = CompiledCalculator(
    name="worst_drawdown",
    version=1,
    order=998,
    settings=WorstDrawdownSettings,
    metrics=lambda _: {"worst_drawdown": "fraction"},
    windows=lambda settings: {"drawdowns": settings.window_bars},
    kernel=calculate,
    needs=("portfolio_values",),
    after=("values",),
)
"""
CALCULATOR_OF_A_NEW_INPUT = """
from typing import Final

from tradewind.kernels.compiled import compiled
from tradewind.risk.calculators.base import CalculatorSettings, CompiledCalculator
from tradewind.risk.engine.account import Record
from tradewind.risk.engine.result import lacks_scalar, put
from tradewind.risk.engine.snapshot import has
from tradewind.risk.inputs import FloatArray
from tradewind.risk.reasons import field_of

HAS: Final = has("benchmark_return")
FIELD: Final = field_of("benchmark_return")


class BenchmarkSettings(CalculatorSettings):
    pass


@compiled
def calculate(config: Record, header: FloatArray, out: FloatArray) -> None:
    if not lacks_scalar(header, out, config.benchmark, 1, HAS, FIELD):
        put(out, config.benchmark, 2.0 * header[HAS + 1])


BENCHMARK: Final = CompiledCalculator(
    name="benchmark",
    version=1,
    order=999,
    settings=BenchmarkSettings,
    metrics=lambda _: {"benchmark_doubled": "fraction"},
    kernel=calculate,
    needs=("benchmark_return",),
    after=("holdings",),
)
"""
BROKER = """
from orchestrator.brokers.built_in.paper import PaperBroker


class AuctionBroker(PaperBroker):
    name = "auction"
"""
ALGORITHM = """
from trainer_service.algorithms.built_in.a2c import A2C


class PatientA2C(A2C):
    name = "PATIENT-A2C"
"""
PLANS: Mapping[str, Plan] = {
    "risk calculator": {"tradewind/risk/calculators/worst_drawdown.py": CALCULATOR},
    "risk calculator with a new input": {
        "tradewind/risk/calculators/benchmark.py": CALCULATOR_OF_A_NEW_INPUT,
        "tradewind/risk/inputs.py": (
            (
                "    periods_per_year: float | None\n",
                "    periods_per_year: float | None\n    benchmark_return: float | None\n",
            ),
            (
                "        periods_per_year: float | None = None,\n",
                "        periods_per_year: float | None = None,\n"
                "        benchmark_return: float | None = None,\n",
            ),
            (
                "periods_per_year=periods_per_year,\n",
                "periods_per_year=periods_per_year, benchmark_return=benchmark_return,\n",
            ),
        ),
        "tradewind/risk/engine/snapshot.py": (
            ('"now", "periods_per_year")', '"now", "periods_per_year", "benchmark_return")'),
            (
                "        0.0 if periods is None else periods,\n",
                "        0.0 if periods is None else periods,\n"
                "        0.0 if inputs.benchmark_return is None else 1.0,\n"
                "        inputs.benchmark_return or 0.0,\n",
            ),
        ),
        "protos/tradewind/api/risk/v1/risk.proto": (
            (
                "  optional double periods_per_year = 16;\n",
                "  optional double periods_per_year = 16;\n"
                "  optional double benchmark_return = 117;\n",
            ),
        ),
    },
    "metric of a calculator": {
        "tradewind/risk/calculators/ulcer_index.py": (
            ('"ulcer_index": "fraction",\n', '"ulcer_index": "fraction", "ulcer_bars": "bars",\n'),
            (
                "    first = config.ulcer_index\n",
                "    first = config.ulcer_index\n    put(out, first + 1, 3.0)\n",
            ),
        ),
    },
    "algorithm": {"trainer_service/algorithms/built_in/patient_a2c.py": ALGORITHM},
    "broker": {"orchestrator/brokers/built_in/auction.py": BROKER},
}
RISK = """
import numpy as np
from tradewind.api.risk.v1 import risk_pb2
from tradewind.risk import RiskAgentV2, RiskInputs, RiskPolicy
from tradewind.rpc.risk.risk_codec import risk_inputs_from_message, risk_inputs_to_message

limits = {name: {"limit": 9.0} for name in ("worst_drawdown", "benchmark_doubled", "ulcer_bars")}
settings = {"worst_drawdown": {"window_bars": 2}}
policy = {"calculators": settings, "limits": limits, "monitor_only": True}
agent = RiskAgentV2(RiskPolicy.parse(policy))
inputs = RiskInputs(portfolio_values=np.array([100.0, 90.0, 100.0, 95.0]), benchmark_return=0.25)
sent = risk_inputs_to_message(inputs).SerializeToString()
report = agent.calculate_only(risk_inputs_from_message(risk_pb2.RiskInputs.FromString(sent)))
print([round(report.metric_values[name], 3) for name in limits])
without = agent.calculate_only(RiskInputs(portfolio_values=np.array([100.0])))
print(without.unavailable["benchmark_doubled"])
"""
OTHERS = """
import sys
from orchestrator.brokers import BROKERS
from orchestrator.settings import OrchestratorSettings
from tradewind.settings import parse_settings

allocations = [{"symbol": "BTC", "policy": "p"}]
values = {"allocations": allocations, "broker": {"kind": "auction"}}
kind = parse_settings(values, OrchestratorSettings).broker.kind
print(kind, BROKERS.find(kind, "broker").__name__)

from trainer_service import create_trainer_agent
from trainer_service.environment import EnvironmentConfig, IntradayTradingEnv

training = {"total_timesteps": 64, "held_out_fraction": None}
values = {"algorithm": "PATIENT-A2C", "training_params": training}
trainer = create_trainer_agent({"policy": "p", "store": sys.argv[1], **values})
env = IntradayTradingEnv(config=EnvironmentConfig(episode_bars=40))
print(trainer.train(env).metadata.algo)
"""


def carry_out(tree: Path, *names: str) -> None:
    """Writes and edits the files of plans in a copy of the packages."""
    for name in names:
        for path, change in PLANS[name].items():
            file = tree / path
            if isinstance(change, str):
                assert not file.exists()
                file.write_text(f'"""It is here, and so it is found."""\n{change}')
                continue
            text = file.read_text()
            for before, after in change:
                assert text.count(before) == 1, f"{path}: {before}"
                text = text.replace(before, after)
            file.write_text(text)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages with what was compiled of their kernels, and the contracts."""
    folder = tmp_path_factory.mktemp("tree")
    for name in (*COPIED, "protos"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
    return folder


def run(tree: Path, *command: str) -> list[str]:
    """What a command of Python says that finds the copy before anything else, by line."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_diff_plans_with_their_numbers_are_those_of_the_page() -> None:
    told = dict(re.findall(r"^\| ([a-z ]+?) \| (\d) \|", PAGE, re.M))
    taken = {name: str(len(plan)) for name, plan in PLANS.items()}
    assert told == {**taken, "any part from outside": "0"}
    for plan in PLANS.values():
        for path, change in plan.items():
            assert (str(Path(path).parent) if isinstance(change, str) else path) in PAGE


@pytest.mark.slow
def test_risk_plans_with_their_files_alone_calculate_limit_and_cross_the_wire(tree: Path) -> None:
    carry_out(tree, "risk calculator", "risk calculator with a new input", "metric of a calculator")
    proto = "tradewind/api/risk/v1/risk.proto"  # as `make protos` does for all of them
    run(tree, "-m", "grpc_tools.protoc", "-Iprotos", "--python_out=.", proto)
    assert run(tree, "-c", RISK) == ["[0.05, 0.5, 3.0]", "benchmark_return: not given"]


@pytest.mark.slow
def test_other_plans_with_their_file_alone_train_and_trade(tree: Path, tmp_path: Path) -> None:
    carry_out(tree, "algorithm", "broker")
    assert run(tree, "-c", OTHERS, str(tmp_path)) == ["auction AuctionBroker", "SB3-PATIENT-A2C"]
