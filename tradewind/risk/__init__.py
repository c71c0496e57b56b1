"""RiskAgentV2: the calculators that shape the reward in training and guard production."""

from tradewind.risk.advisor import ProductionRiskAdvisor
from tradewind.risk.agent import RiskAgentV2
from tradewind.risk.batch import BatchBar, BatchRiskTracker, StepRisk
from tradewind.risk.inputs import FloatArray, OptionPosition, OrderBook, Position, RiskInputs
from tradewind.risk.loosening import loosens
from tradewind.risk.outside.declaration import AccountView, NoSettings, PythonCalculator
from tradewind.risk.overlay import EnforcedPolicy, RiskOverlay
from tradewind.risk.policy import LimitSettings, RiskPolicy
from tradewind.risk.report import RiskReport
from tradewind.risk.settings import EnabledCalculator
from tradewind.risk.tracker import RiskTracker

__all__ = [
    "AccountView",
    "BatchBar",
    "BatchRiskTracker",
    "EnabledCalculator",
    "EnforcedPolicy",
    "FloatArray",
    "LimitSettings",
    "NoSettings",
    "OptionPosition",
    "OrderBook",
    "Position",
    "ProductionRiskAdvisor",
    "PythonCalculator",
    "RiskAgentV2",
    "RiskInputs",
    "RiskOverlay",
    "RiskPolicy",
    "RiskReport",
    "RiskTracker",
    "StepRisk",
    "loosens",
]
