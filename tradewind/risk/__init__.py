"""RiskAgentV2: the calculators that shape the reward in training and guard production."""

from tradewind.risk.inputs import FloatArray, OptionPosition, OrderBook, Position, RiskInputs

__all__ = ["FloatArray", "OptionPosition", "OrderBook", "Position", "RiskInputs"]
