# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Serve a policy, and embed it
#
# A small DQN, the inference service on it, and the same network without a server. `pip install 'tradewind[trainer]'`.

# %%
from pathlib import Path

import numpy as np

from inference_service.execution_agent import create_execution_agent_stub
from tradewind.bundle import read_bundle
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import InferenceClient
from trainer_service import IntradayTradingEnv, create_trainer_agent

config = {
    "policy": "notebook-dqn",
    "store": "bundles-served",
    "algorithm": "DQN",
    "algo_params": {"buffer_size": 5_000, "learning_starts": 500},
    "training_params": {"total_timesteps": 3_000, "seed": 7},
}
folder = create_trainer_agent(config).run(IntradayTradingEnv())

# %% [markdown]
# The service watches the store. It proves a bundle (digests, golden answers, the compiled network against TorchScript) before
# it serves it, and swaps to a later version without dropping a call.

# %%
service = ServiceProcess(
    "inference_service",
    ["--store", "bundles-served", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"],
    log=Path("runs/notebook-inference.log"),
)
client = InferenceClient(service.address)
client.wait_ready(timeout_s=60)
client.list_policies().policy_versions

# %%
golden = read_bundle(folder).golden
answer = client.predict(golden.observations[0], policy="notebook-dqn")
answer.action, answer.version, f"{answer.model_compute_ns / 1e3:.1f} µs", answer.slo_met

# %% [markdown]
# Many at once: one call, one matrix.

# %%
answers = client.predict_batch(golden.observations, policy="notebook-dqn")
assert np.array_equal(np.ravel(answers.actions), np.ravel(golden.actions))
for _ in range(500):
    client.predict(golden.observations[0], policy="notebook-dqn")
client.latency_reports()

# %%
client.close()
service.stop()

# %% [markdown]
# Without a server: no Stable-Baselines3, no Gymnasium, a few microseconds.

# %%
agent = create_execution_agent_stub(folder)
agent.validate_slo_compliance(num_trials=1_000)
