"""The programs in `benchmarks/` use what the package has: they are run by hand, so nothing else would notice."""

import subprocess
import sys

from tests.peers.programs import ROOT

_IMPORTS_ALL = """
import importlib, pathlib, sys
sys.path.insert(0, "benchmarks")
for path in sorted(pathlib.Path("benchmarks").glob("*.py")):
    importlib.import_module(path.stem)
"""


def test_the_benchmarks_find_all_that_they_import() -> None:
    subprocess.run([sys.executable, "-c", _IMPORTS_ALL], cwd=ROOT, check=True)
