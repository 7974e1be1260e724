"""Run the programs of documentation pages as a newcomer does: docs_programs.py DIRECTORY PAGE...

The python that runs this has consulpy and pytest installed; DIRECTORY is empty. Only the standard library is used here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

_BLOCK = re.compile(r"```python\n((?:(?!```).)*)```(?:\n\nIt prints (.*?)\.(?: |\n))?", re.DOTALL)


def failures(page: Path, directory: Path) -> list[str]:
    """A text for each program that does not do what the page says."""
    found = []
    blocks = _BLOCK.findall(page.read_text())
    if not blocks:
        return [f"{page.name} has no programs"]
    for number, (program, sentence) in enumerate(blocks, 1):
        name = f"{page.stem}-{number}"
        place = directory / name
        place.mkdir()
        is_test = program.startswith("# test_")
        file = place / (program.split()[1] if is_test else "program.py")
        file.write_text(program)
        command = ["-m", "pytest", "-q", file.name] if is_test else [file.name]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CONSUL_"))}
        done = subprocess.run(
            [sys.executable, *command], cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        wanted = [] if is_test else re.findall(r"`([^`]+)`", sentence)
        if done.returncode or (not is_test and done.stdout.splitlines() != wanted):
            found.append(f"{name}: expected {wanted}\n{done.stdout}{done.stderr}")
        else:
            print(f"{name}: {done.stdout.splitlines()[-1]}", flush=True)
    return found


def main() -> int:
    directory, *pages = map(Path, sys.argv[1:])
    found = [text for page in pages for text in failures(page.resolve(), directory.resolve())]
    print("\n".join(found), end="")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
