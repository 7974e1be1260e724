"""docs/architecture.md and the decisions name files that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "consulpy"
PAGES = [ROOT / "docs" / "architecture.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]


def named() -> set[str]:
    """Every file or folder that the pages name: `a/b.py`, `b.py`, `a/`."""
    text = "".join(page.read_text() for page in PAGES)
    return {name.partition(":")[0] for name in re.findall(r"`([\w./]+(?:\.py|/)(?:: \w+)?)`", text)}


def test_every_file_that_the_pages_name_is_there() -> None:
    files = [f"/{path.relative_to(ROOT)}" for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]]
    files += [
        f"/{path.relative_to(ROOT)}/"
        for place in (PACKAGE, ROOT / "tests")
        for path in place.rglob("*")
        if path.is_dir()
    ]
    assert len(named()) > 80
    assert sorted(name for name in named() if not any(file.endswith(f"/{name}") for file in files)) == []
