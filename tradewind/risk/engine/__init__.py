"""The compiled machinery under RiskAgentV2, its tracker and its batch; private to tradewind.risk.

account     what is remembered of the whole history, and the fold that builds it
state       all that a calculator's kernel may look at, and how it answers
plan        a policy turned into arrays
kernel      every enabled calculator in one compiled call
"""
