"""Policy and overlay are taken over together, or nothing is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from risk_service.policy_source import PolicySource
from risk_service.telemetry import Telemetry
from tradewind.errors import RiskPolicyError
from tradewind.risk import RiskPolicy

POLICY = """\
limits: {max_drawdown: {limit: 0.3}, volatility: {limit: 1.0}}
rules:
  - {name: halt, when: {metric: max_drawdown}, action: HALT}
  - {name: wild, when: {metric: volatility}, action: BLOCK}
...
"""
NONE = "limits: {}\n...\n"
Open = Callable[..., PolicySource]


def digest_of(policy: str) -> str:
    return RiskPolicy.from_text(policy.encode(), "policy.yaml").digest()


def tightening(base: str = POLICY, **limits: float) -> str:
    return f"base: {digest_of(base)}\nlimits: {limits}\n...\n"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def open_source(tmp_path: Path, registry: CollectorRegistry) -> Iterator[Open]:
    opened: list[PolicySource] = []

    def make(policy: str = POLICY, overlay: str | None = NONE, **options: bool) -> PolicySource:
        (tmp_path / "policy.yaml").write_text(policy)
        if overlay is not None:
            (tmp_path / "overlay.yaml").write_text(overlay)
        source = PolicySource(
            tmp_path / "policy.yaml",
            3600.0,
            Telemetry(CollectorRegistry() if opened else registry),
            overlay=tmp_path / "overlay.yaml",
            **options,
        )
        opened.append(source)
        return source

    yield make
    for source in opened:
        source.close()


def look(source: PolicySource) -> tuple[float, str]:
    """What drawdown halts, after the file has stood still for two looks, and what is refused."""
    source._look()
    source._look()
    return source.current.enforced.tightened.limits["max_drawdown"].limit, source.refusal


def test_overlay_is_put_on_and_changed_while_the_policy_and_its_agent_stay(
    open_source: Open, tmp_path: Path, registry: CollectorRegistry
) -> None:
    source = open_source()
    digest, agent = source.current.digest, source.current.agent
    assert source.current.overlay_digest == ""
    for limit in (0.2, 0.1):
        (tmp_path / "overlay.yaml").write_text(tightening(max_drawdown=limit))
        source._look()
        assert source.current.enforced.tightened.limits["max_drawdown"].limit != limit
        assert look(source) == (limit, "")
        assert (source.current.digest, source.current.agent) == (digest, agent)
        shown = {"digest": source.current.overlay_digest}
        assert registry.get_sample_value("tradewind_risk_overlay", shown) == 1.0


def test_overlay_that_is_half_a_file_or_gone_or_looser_or_for_another_base_changes_nothing(
    open_source: Open, tmp_path: Path
) -> None:
    source, path = open_source(overlay=tightening(max_drawdown=0.2)), tmp_path / "overlay.yaml"
    digest = source.current.overlay_digest
    whole = tightening(max_drawdown=0.1)
    for end in range(len(whole) - 4):
        path.write_text(whole[:end])
        assert look(source)[0] == 0.2
        assert source.refusal != ""
    path.unlink()
    assert look(source)[0] == 0.2
    assert "cannot read" in source.refusal
    path.write_text(tightening(max_drawdown=0.4))
    assert look(source)[0] == 0.2
    assert "overlay.yaml: the overlay is refused: limits.max_drawdown: 0.4 is looser" in (
        source.refusal
    )
    path.write_text(tightening(POLICY.replace("1.0", "2.0"), max_drawdown=0.1))
    assert look(source)[0] == 0.2
    assert "base: " in source.refusal
    assert source.current.overlay_digest == digest
    path.write_text(tightening(max_drawdown=0.2))
    assert look(source) == (0.2, "")


def test_policy_that_the_overlay_is_not_for_waits_until_both_are_changed(
    open_source: Open, tmp_path: Path
) -> None:
    source = open_source(overlay=tightening(max_drawdown=0.2))
    before = source.current.digest
    later = POLICY.replace("volatility: {limit: 1.0}", "volatility: {limit: 2.0}")
    (tmp_path / "policy.yaml").write_text(later)
    assert look(source)[0] == 0.2
    assert "base: " in source.refusal
    assert source.current.digest == before
    (tmp_path / "overlay.yaml").write_text(tightening(later, max_drawdown=0.15))
    assert look(source) == (0.15, "")
    assert source.current.digest == digest_of(later)


def test_overlay_that_is_lifted_needs_a_restart_where_it_tightens_what_halts(
    open_source: Open, tmp_path: Path
) -> None:
    source = open_source(overlay=tightening(max_drawdown=0.2))
    (tmp_path / "overlay.yaml").write_text(NONE)
    assert look(source)[0] == 0.2
    assert "would loosen what halts or liquidates: rule halt" in source.refusal
    allowed = open_source(overlay=tightening(max_drawdown=0.2), may_loosen=True)
    (tmp_path / "overlay.yaml").write_text(NONE)
    assert look(allowed) == (0.3, "")


def test_overlay_that_is_lifted_where_it_only_blocks_is_lifted(
    open_source: Open, tmp_path: Path
) -> None:
    source = open_source(overlay=tightening(volatility=0.5))
    assert source.current.enforced.tightened.limits["volatility"].limit == 0.5
    (tmp_path / "overlay.yaml").write_text(NONE)
    assert look(source)[1] == ""
    assert source.current.overlay_digest == ""


@pytest.mark.parametrize("overlay", [None, "", tightening(max_drawdown=0.5), "base: x\n...\n"])
def test_start_with_an_overlay_that_is_not_there_or_refused_fails(
    open_source: Open, overlay: str | None
) -> None:
    with pytest.raises(RiskPolicyError, match=r"overlay\.yaml"):
        open_source(overlay=overlay)
