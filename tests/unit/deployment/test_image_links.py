"""What a Dockerfile copies holds what the links among it point to: an image has no checkout."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COPIED = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)


def links_below(folder: str) -> list[Path]:
    """The committed symbolic links at and below a path of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--stage", "--", folder], cwd=ROOT, capture_output=True, text=True
    )
    return [
        ROOT / line.split("\t")[1] for line in listed.stdout.splitlines() if line[:6] == "120000"
    ]


@pytest.mark.parametrize("dockerfile", sorted((ROOT / "docker").glob("*.Dockerfile")))
def test_image_with_links_among_its_files_holds_what_they_point_to(dockerfile: Path) -> None:
    copied = [name for names in COPIED.findall(dockerfile.read_text()) for name in names.split()]
    allowed = (ROOT / ".dockerignore").read_text().split()
    links = [link for name in copied for link in links_below(name)]
    assert links, f"{dockerfile.name} copies no link: this test looks at nothing"
    for link in links:
        target = link.resolve().relative_to(ROOT).as_posix()
        assert any(target == name or target.startswith(f"{name}/") for name in copied), link
        assert any(f"!{parent}" in allowed for parent in (target, target.split("/")[0])), link
