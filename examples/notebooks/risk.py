# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
# ---

# %% [markdown]
# # One risk number, three ways
#
# The same compiled calculators answer a call, follow an account bar by bar, and decide in the risk service.
# `pip install 'tradewind[risk,bars]'`.

# %%
from pathlib import Path

import numpy as np

from tradewind.market import load_sample
from tradewind.risk import Position, RiskAgentV2, RiskInputs
from tradewind.rpc import ServiceProcess
from tradewind.rpc.clients import RiskClient

bars = load_sample("BTC")
bars = bars.slice(len(bars) - 1_500, len(bars))
account = RiskInputs(
    portfolio_values=bars.close,
    timestamps=bars.close_times_ns / 1e9,
    periods_per_year=bars.periods_per_year,
    positions=(Position("BTC", 1.0, float(bars.close[-1])),),
    capital_base=float(bars.close[0]),
)

# %% [markdown]
# An account that held one bitcoin for a month. A metric that cannot be calculated says why; none is ever 0 for lack of data.

# %%
agent = RiskAgentV2.from_yaml("config/risk_limits.yaml")
report = agent.calculate_only(account)
report

# %% [markdown]
# Rules, in a policy of our own: a drawdown of 5 % reduces, one of 10 % halts. A halt stays, whatever comes after it, until a
# named person resumes the account.

# %%
Path("runs").mkdir(exist_ok=True)
Path("runs/policy.yaml").write_text(
    """
limits: {max_drawdown: {limit: 0.1}}
rules:
  - {name: careful, when: {metric: max_drawdown, over: 0.05}, action: REDUCE_POSITION}
  - {name: enough, when: {metric: max_drawdown}, action: HALT}
...
"""
)
service = ServiceProcess(
    "risk_service",
    [
        *("--policy", "runs/policy.yaml", "--database", "sqlite:///runs/notebook-risk.sqlite"),
        *("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"),
    ],
    log=Path("runs/notebook-risk.log"),
)
client = RiskClient(service.address)


# %%
def ended_at(value: float) -> RiskInputs:
    return RiskInputs(portfolio_values=np.array([100.0, value]), capital_base=100.0)


for last in (99.0, 94.0, 88.0, 101.0):
    answer = client.evaluate(ended_at(last), account="me")
    why = answer.halt.reason if answer.halt else "; ".join(it.reason for it in answer.breaches)
    print(f"{last:>6} → {answer.action.name:<15} {why}")

# %%
client.resume(
    "me", name="Ada", role="risk_officer", reason="the limit was meant for another account"
)
client.evaluate(ended_at(101.0), account="me").action

# %% [markdown]
# The service's metrics are those of the library, to the last bit.

# %%
served = client.calculate_only(account)
here = RiskAgentV2.from_yaml("runs/policy.yaml").calculate_only(account)
assert served.metric_values == here.metric_values
client.close()
service.stop()
