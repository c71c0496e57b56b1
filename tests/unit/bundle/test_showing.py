"""What a notebook shows of bundles, evaluations and reports: escaped, and nothing is fetched."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.analysis.decision_replay.findings import ColumnFinding
from orchestrator.analysis.decision_replay.verify import Verification
from tradewind.bundle import BundleDraft, BundleStore, read_bundle
from tradewind.policy.bundle_policy import BundlePolicy
from tradewind.risk import RiskReport
from trainer_service.evaluation import HeldOutEvaluation
from trainer_service.research.walk_forward import WalkForward

BAD = "<img src=//x onerror=alert(1)>'\"&"
FIGURES = {"return": 0.1, "return_low": -0.2, "return_high": 0.4, "random_return": -0.9, BAD: 1.0}


class Read(HTMLParser):
    """Everything in a page that could be code or be fetched, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def shown(make_draft: Callable[..., BundleDraft], tmp_path: Path) -> dict[str, Any]:
    """One of each, with a name in it that is HTML."""
    draft = replace(make_draft(), evaluation=FIGURES)
    published = BundleStore(tmp_path / "a <b> store").publish(draft)
    bundle = read_bundle(published.path)
    network: Any = SimpleNamespace(runtime=BAD, memory_bytes=0)
    episode: Any = SimpleNamespace(returns=range(7_004))
    judged = HeldOutEvaluation(FIGURES, episode, episode)
    fold: Any = SimpleNamespace(evaluation=judged)
    summary = {"folds_with_gain": 1.0, "return_mean": 0.1, BAD: 1.0}
    columns = (ColumnFinding(BAD, 10, 0, None),)
    return {
        "bundle": bundle,
        "published": published,
        "policy": BundlePolicy(bundle, network, ""),
        "evaluation": judged,
        "walk-forward": WalkForward((fold,), summary, None),
        "report": RiskReport({"var_95": 0.01}, {"x": BAD}, 0.5, None, (), {"var_95": BAD}, "ef"),
        "replay": Verification(BAD, 0, 9, 0, 9, 0, ("p/1",), columns, (BAD,), 1.0),
    }


def test_html_of_each_is_a_table_without_code_links_or_unescaped_names(
    shown: dict[str, Any],
) -> None:
    for name, it in shown.items():
        page = Read(it._repr_html_())
        assert page.tags <= {"div", "strong", "table", "tbody", "thead", "tr", "th", "td"}, name
        assert page.attributes <= {"style", "scope"}, name
        assert any(BAD in text for text in page.texts), name


def test_html_of_an_evaluation_has_the_interval_and_the_baselines(shown: dict[str, Any]) -> None:
    for name in ("bundle", "evaluation"):
        texts = Read(shown[name]._repr_html_()).texts
        at = texts.index("return")
        assert texts[at : at + 4] == ["return", "0.1", "-0.2 … 0.4", "-0.9"]


def test_repr_of_each_is_short_and_says_what_it_is(shown: dict[str, Any]) -> None:
    said = {name: repr(it) for name, it in shown.items()}
    assert all(len(text) < 300 for text in said.values())
    assert said["evaluation"] == "HeldOutEvaluation(7,004 bars, return=0.1)"
    assert said["walk-forward"] == "WalkForward(1 folds, 1 with a gain)"
    assert said["replay"].endswith("10 ticks, equal)")
    assert str(shown["bundle"].path) in said["bundle"]
    assert said["policy"].startswith("BundlePolicy(")
