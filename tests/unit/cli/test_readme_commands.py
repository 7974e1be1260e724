"""README.md names every command."""

import re
from pathlib import Path

from consulpy.cli.command import COMMANDS
from consulpy.cli.loader import load_all

README = Path(__file__).parent.parent.parent.parent / "README.md"


def test_the_table_of_what_works_names_every_command() -> None:
    load_all()
    row = re.search(r"\| Command line \| `(.*)` \|", README.read_text())
    assert row is not None
    assert row[1].split() == sorted({name.split()[0] for name in COMMANDS})
