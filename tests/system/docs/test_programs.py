"""The programs of docs/embedding.md and docs/simulation.md run, and print what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.programs import ROOT, environment

PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("embedding", "simulation")}
#: The page of each program, the program, and the values in backticks that the sentence after it says it prints.
PROGRAMS = [
    pytest.param(program, re.findall(r"`([^`]+)`", sentence), id=f"{name}-{number}")
    for name, page in PAGES.items()
    for number, (program, sentence) in enumerate(
        re.findall(r"```python\n(.*?)```\n\nIt prints (.*?)\.(?: |\n)", page, re.DOTALL)
    )
]


def test_every_program_of_the_pages_says_what_it_prints() -> None:
    assert len(PROGRAMS) == sum(page.count("```python") for page in PAGES.values()) > 3


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_a_program_of_the_page_runs(program: str, printed: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.stdout.split("\n") == [*printed, ""], done.stderr
