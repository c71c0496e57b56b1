"""What ends the build of the documentation's site: `make docs`."""

import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
MKDOCS = ROOT / ".venv-docs" / "bin" / "mkdocs"


@pytest.mark.skipif(not MKDOCS.is_file(), reason="`make docs` has not made .venv-docs")
def test_site_with_broken_links_and_a_page_that_nobody_finds_is_refused(tmp_path: Path) -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    settings |= {"nav": ["index.md"], "plugins": [], "docs_dir": "pages", "site_dir": "site"}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    pages = tmp_path / "pages"
    pages.mkdir()
    links = "[page](gone.md), [heading](lost.md#no-such), [up](/x)"
    (pages / "index.md").write_text(f"# Here\n\n{links}\n")
    (pages / "lost.md").write_text("# Lost\n")
    build = subprocess.run(
        [MKDOCS, "build"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode != 0
    for found in ("'gone.md'", "'#no-such'", "'/x'", "lost.md\n"):
        assert found in build.stderr, build.stderr
