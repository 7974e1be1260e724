"""The programs of docs/embedding.md run, and print what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.programs import ROOT, environment

PAGE = (ROOT / "docs" / "embedding.md").read_text()
#: Each program, and the values in backticks that the sentence after it says it prints.
PROGRAMS = [
    (program, re.findall(r"`([^`]+)`", sentence))
    for program, sentence in re.findall(r"```python\n(.*?)```\n\nIt prints (.*?)\. ", PAGE, re.DOTALL)
]


def test_every_program_of_the_page_says_what_it_prints() -> None:
    assert len(PROGRAMS) == PAGE.count("```python") == 3


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_a_program_of_the_page_runs(program: str, printed: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip
    assert done.stdout.split("\n") == [*printed, ""], done.stderr
