"""The compiled machinery under RiskAgentV2, its tracker and its batch.

Private to tradewind.risk and to the codec of its service, which fills the arrays from the wire.

plan        a policy turned into arrays
snapshot    what is not a series (positions, books, options …), packed into one array
account     what is remembered of the whole history, and the folds that build it
state       all that the kernels may look at
result      how a calculator's kernel answers, and what it checks first
kernel      every enabled calculator in one compiled call
arrays      calculate_only: whole arrays → state → result
storage     a tracker's memory: plain arrays, one row an account
tracking    tracker and batch: what is new → storage → state → result
remarks     what a result says beside its numbers, in words
reporting   a result put into words
"""
