"""Risk-aware reinforcement-learning trading policies, from training to microsecond serving."""

__version__ = "0.2.0"
__all__ = ["__version__"]
