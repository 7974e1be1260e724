"""No key is silently without effect: what is not used anywhere says so in the log, and Consul's keys are all known."""

import re
from pathlib import Path

import pytest

import consulpy
from consulpy.config.key import Support
from consulpy.config.schema import KEYS
from consulpy.config.values import ALL_NAMES, FREE_BLOCKS

PACKAGE = Path(consulpy.__file__).parent
#: Where keys are declared and checked: to be named there is not to be used.
DECLARED = {PACKAGE / "config" / name for name in ("schema.py", "sections.py", "known.py", "validate.py")}
#: Used through a property of the configuration.
THROUGH = {"leave_on_terminate": "leaves_on_terminate", "skip_leave_on_interrupt": "skips_leave_on_interrupt"}
#: Keys that are never in Consul's files, whatever its documentation says: its own `validate` refuses them.
NOT_REALLY = {"reap", *(f"auto_config.authorization.static.claim_assertions.{name}" for name in ("node", "segment"))}
DOCUMENTED = [
    line for line in Path(__file__).with_name("documented_keys.txt").read_text().splitlines() if line[0] != "#"
]


def words() -> set[str]:
    """Every name that the program's source uses, outside of the declarations."""
    sources = (path.read_text() for path in PACKAGE.rglob("*.py") if path not in DECLARED)
    return {word for text in sources for word in re.findall(r"\w+", text)}


def test_a_key_that_nothing_uses_is_marked_and_so_warns_at_the_start() -> None:
    used = words()
    silent = [
        path
        for path, (names, key) in KEYS.items()
        if key.support is Support.USED and THROUGH.get(names[-1], names[-1]) not in used
    ]
    assert silent == []


def is_known(path: str) -> bool:
    return path in ALL_NAMES or any(path.startswith(f"{block}.") for block in (*FREE_BLOCKS, "segments"))


@pytest.mark.parametrize("path", [path for path in DOCUMENTED if path not in NOT_REALLY])
def test_a_documented_key_is_known(path: str) -> None:
    assert is_known(path)
