"""docs/architecture.md names files that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "consulpy"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def named() -> set[str]:
    """Every file or folder that the page names: `a/b.py`, `b.py`, `a/`."""
    return {name.partition(":")[0] for name in re.findall(r"`([\w./]+(?:\.py|/)(?:: \w+)?)`", PAGE)}


def test_every_file_that_the_page_names_is_there() -> None:
    files = [f"/{path.relative_to(ROOT)}" for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]]
    files += [f"/{path.relative_to(ROOT)}/" for path in PACKAGE.rglob("*") if path.is_dir()]
    assert len(named()) > 80
    assert sorted(name for name in named() if not any(file.endswith(f"/{name}") for file in files)) == []
