"""Drafts of format 2 out of drafts whose network a script is."""

from dataclasses import replace

from tradewind.bundle import BundleDraft
from tradewind.policy import TorchScriptNetwork, declare_network

__all__ = ["declare"]


def declare(draft: BundleDraft) -> BundleDraft:
    """The draft with its network declared."""
    graph, weights = declare_network(TorchScriptNetwork(draft.policy_pt), draft.obs_space.shape)
    return replace(draft, graph=graph, weights=weights)
