"""Starts programs that end with the test process, however that ends: a time limit, Ctrl-C or SIGKILL too."""

import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

#: Has the kernel kill the program when the thread that started it ends (Linux, util-linux 2.33).
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


def spawn(command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start a program; call it in the main thread. `options`: those of `Popen`."""
    return subprocess.Popen([*_ENDS_WITH_US, *command], **options)
