"""The glossary names what there is."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = next((ROOT / "docs").rglob("glossary.md"))  # on whichever shelf it is
PACKAGES = ("tradewind", "trainer_service", "inference_service", "risk_service", "orchestrator")


def test_glossary_names_classes_and_modules_that_exist() -> None:
    rows = re.findall(r"^\| (.+?) \| .+ \| (.+?) \|$", PAGE.read_text(), re.M)
    names = {name for _, code in rows for name in re.findall(r"`([\w./]+)`", code)}
    source = "\n".join(
        path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    )
    classes = {name for name in names if re.fullmatch(r"[A-Z][a-z]\w+", name)}
    assert len(classes) > 40
    defined = set(re.findall(r"^(?:class )?([A-Z]\w+)(?:[:(\[]| =)", source, re.M))
    assert classes - defined == set()
    files = {name for name in names if name.startswith("tradewind/")}
    assert {name for name in files if not (ROOT / name).exists()} == set()


def test_glossary_says_every_word_once() -> None:
    words = re.findall(r"^\| ([^|]+?) \|", PAGE.read_text(), re.M)
    said = [word for row in words for word in row.split(", ") if word not in ("word", "---")]
    assert len(said) == len(set(said))
