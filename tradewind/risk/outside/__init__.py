"""Calculators of anyone's own, in plain Python: run after the kernel, reported like any other.

declaration what one declares, and the account that it looks at
entry       how a risk policy names one, and who may have it imported
trial       what it must show before it is let in
inputs      the account, from whichever entrance, as each of them is to see it
running     calling them, whatever they do
"""
