"""The programs of docs/testing.md run, and print what the page says; its test file passes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from consulpy.testing import pytest_plugin
from tests.peers.programs import ROOT, environment

PAGE = (ROOT / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
#: Each program, and the values in backticks that the sentence after it says it prints.
PROGRAMS = [
    (program, re.findall(r"`([^`]+)`", sentence))
    for program, sentence in re.findall(r"```python\n((?:(?!```).)*)```\n\nIt prints (.*?)\.\n", PAGE, re.DOTALL)
]
TEST_FILES = [block for block in BLOCKS if block.startswith("# test_")]


def run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=directory, env=environment(), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def test_every_block_of_the_page_is_run() -> None:
    assert len(PROGRAMS) + len(TEST_FILES) == len(BLOCKS) == 4


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_a_program_of_the_page_runs(program: str, printed: list[str], tmp_path: Path) -> None:
    done = run(tmp_path, "-c", program)
    assert done.stdout.split("\n") == [*printed, ""], done.stderr


@pytest.mark.long
def test_the_test_file_of_the_page_passes(tmp_path: Path) -> None:
    (text,) = TEST_FILES
    (tmp_path / "test_mine.py").write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run(tmp_path, "-m", "pytest", "-q", "-p", "no:twisted")
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_page_names_all_fixtures() -> None:
    found = {name for name, value in vars(pytest_plugin).items() if "FixtureFunction" in type(value).__name__}
    fixtures = {name for name in found if not name.startswith("_")}
    assert fixtures == set(re.findall(r"^\| `(\w*consul\w*)` \|", PAGE, re.MULTILINE))
