"""The answers of a network, given again by both of its runtimes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.decision_replay.bundles import OpenBundle, run_network
from orchestrator.analysis.decision_replay.decisions import DecisionGroup
from orchestrator.analysis.decision_replay.findings import Findings
from tradewind.errors import InvalidInputError
from tradewind.market import TradingTerms
from tradewind.policy import GOLDEN_TOLERANCE, Network
from tradewind.risk import FloatArray

__all__ = ["compare_answers", "targets_of"]


def compare_answers(group: DecisionGroup, bundle: OpenBundle, findings: Findings) -> list[str]:
    """Compares the actions and targets of decisions with those of the network that decided.

    Discrete actions have to be equal in both runtimes. The numbers of continuous ones have to be
    equal to the last bit in the runtime that serves, and within GOLDEN_TOLERANCE in the other one,
    as at the export of the bundle. A declared network has one runtime.

    Returns:
        What could not be compared, in sentences.
    """
    observed = group.observed(bundle.contract.observation_size)
    usable = group.answered & np.isfinite(observed).all(axis=1)
    not_checked = []
    if int((group.answered & ~usable).sum()):
        not_checked.append(
            f"actions of {int((group.answered & ~usable).sum()):,} decisions whose logged "
            "observation has another size or is not finite"
        )
    if not usable.any():
        return not_checked
    at = np.flatnonzero(usable)
    answers: dict[str, NDArray[Any]] = {}
    for runtime, network in (("compiled", bundle.compiled), ("TorchScript", bundle.torchscript)):
        if network is None and runtime == "TorchScript":
            continue
        if network is None:
            not_checked.append(
                f"the compiled runtime of {bundle.name}, which TorchScript serves: "
                f"{bundle.compiled_reason}"
            )
            continue
        answers[runtime] = _answer(group, at, observed, network, batched=bundle.compiled is None)
        exact = bundle.action_size is None or network is bundle.serving
        _compare_actions(group, at, answers[runtime], findings, runtime, exact=exact)
    serving = answers["compiled" if bundle.compiled is not None else "TorchScript"]
    _compare_targets(group, at, serving, bundle.contract.terms, findings)
    return not_checked


def targets_of(actions: NDArray[Any], terms: TradingTerms, count: int) -> FloatArray:
    """Where each action goes; NaN keeps a quantity, or is no action. Shape [n, count]."""
    found = np.full((len(actions), count), np.nan)
    known: dict[bytes, FloatArray] = {}
    for row, action in enumerate(actions):
        key = action.tobytes()
        if key not in known:
            try:
                known[key] = terms.targets(action, count)
            except InvalidInputError:
                known[key] = np.full(count, np.nan)
        found[row] = known[key]
    return found


def _answer(
    group: DecisionGroup,
    at: NDArray[np.int64],
    observed: NDArray[np.float32],
    network: Network,
    *,
    batched: bool,
) -> NDArray[Any]:
    """All rows at once; or, where TorchScript served, those of a call together as they were.

    TorchScript's last bits may depend on how many rows are multiplied at once.
    """
    if not batched:
        return run_network(network, observed[at])
    calls: dict[str, list[int]] = {}
    for place, row in enumerate(at.tolist()):
        calls.setdefault(group.request_ids[row], []).append(place)
    answers: list[NDArray[Any]] = [np.empty(0)] * len(at)
    for places in calls.values():
        for place, answer in zip(places, run_network(network, observed[at[places]]), strict=True):
            answers[place] = answer
    return np.stack(answers)


def _compare_actions(
    group: DecisionGroup,
    at: NDArray[np.int64],
    actions: NDArray[Any],
    findings: Findings,
    runtime: str,
    *,
    exact: bool,
) -> None:
    names = [" ".join(group.symbols)] * len(at)
    if actions.ndim == 1:
        findings.compare_arrays(
            f"decisions.action ({runtime})",
            group.actions[at],
            actions,
            sequences=group.rows[at],
            closes_ns=group.closes_ns[at],
            symbols=names,
        )
        return
    numbers = actions.reshape(len(at), -1)
    size = numbers.shape[1]
    logged = np.full(numbers.shape, np.nan, dtype=np.float32)
    for place, row in enumerate(at.tolist()):
        values = group.action_values[row][:size]
        logged[place, : len(values)] = values
    shown = f"decisions.action_values ({runtime})"
    if not exact:
        shown = f"decisions.action_values ({runtime}, within {GOLDEN_TOLERANCE:g})"
        allowed = GOLDEN_TOLERANCE * np.maximum(1.0, np.abs(logged))
        numbers = np.where(np.abs(numbers - logged) <= allowed, logged, numbers)
    findings.compare_arrays(
        shown,
        logged.ravel(),
        numbers.ravel(),
        sequences=np.repeat(group.rows[at], size),
        closes_ns=np.repeat(group.closes_ns[at], size),
        symbols=list(group.symbols) * len(at) if size == len(group.symbols) else None,
        items=[str(number) for number in range(size)] * len(at),
    )


def _compare_targets(
    group: DecisionGroup,
    at: NDArray[np.int64],
    actions: NDArray[Any],
    terms: TradingTerms,
    findings: Findings,
) -> None:
    targets = targets_of(actions, terms, len(group.symbols))
    unused = np.array([bool(group.reasons[row]) for row in at.tolist()])
    targets[unused] = np.nan  # an answer that was not used has none
    width = len(group.symbols)
    findings.compare_arrays(
        "decisions.targets",
        group.targets[at].ravel(),
        targets.ravel(),
        sequences=np.repeat(group.rows[at], width),
        closes_ns=np.repeat(group.closes_ns[at], width),
        symbols=list(group.symbols) * len(at),
    )
