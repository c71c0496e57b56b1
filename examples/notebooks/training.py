# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # Train a policy that knows its risk
#
# Half a minute, on the embedded half-hour bars of BTC. `pip install 'tradewind[trainer]'`.

# %%
from pathlib import Path

from tradewind.bundle import read_bundle
from tradewind.market import load_sample, split_bars
from tradewind.policy import TorchScriptPolicy
from tradewind.risk import RiskPolicy
from trainer_service import IntradayTradingEnv, create_trainer_agent
from trainer_service.research.judging import evaluate_bundle

bars = load_sample("BTC")
bars

# %% [markdown]
# The configuration is what `tradewind train` reads from YAML; an unknown key is refused by its name. At each step the
# production calculators say what risk the account carries, and `penalty_weight` times the penalty is taken off the reward.

# %%
config = {
    "policy": "notebook-ppo",
    "store": "bundles",
    "algorithm": "PPO",
    "training_params": {"total_timesteps": 12_000, "seed": 7, "n_envs": 8},
    "algo_params": {"n_steps": 256, "batch_size": 512},
    "risk_config": {
        "enabled": True,
        "policy_yaml": "config/risk_limits.yaml",
        "penalty_weight": 0.1,
        "early_stop_threshold": 0.9,
    },
}
folder = create_trainer_agent(config).run(IntradayTradingEnv(bars))
folder

# %% [markdown]
# What was published: verified as the inference service verifies it before it serves, with the figures on the last fifth of
# the bars, which training never saw. `report.html` beside it has the curves.

# %%
bundle = read_bundle(folder)
bundle

# %%
policy = TorchScriptPolicy.load_bundle(folder)
action, info = policy.predict(bundle.golden.observations[0])
action, f"{info['model_compute_ns'] / 1e3:.1f} µs"

# %% [markdown]
# Other bars, the same terms: is it worth anything on ETH?

# %%
_, recent = split_bars(load_sample("ETH"), 0.1)
judged = evaluate_bundle(folder, recent, RiskPolicy.from_yaml(Path("config/risk_limits.yaml")))
judged
