"""What all tests share: where the real peers are, and that nothing may be skipped where everything is installed."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parent / "vectors"
_CLONE_NEWNET = 0x40000000  # linux/sched.h; os.unshare came with Python 3.12


def pytest_configure() -> None:
    """As root each test process gets its own network: fixed addresses of two runs or two workers never meet."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return  # not allowed here: the tests run in the network that is there
    for words in (
        "link set lo up",
        "link add eth0 type veth peer name eth1",  # a host with one private address, as most are
        "addr add 10.77.0.1/24 dev eth0",
        "link set eth0 up",
        "link set eth1 up",
    ):
        subprocess.run(["ip", *words.split()], check=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With CONSULPY_REQUIRE_ALL=1 (as `.ci/run` sets it) a skipped test is a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CONSULPY_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but everything must run here: {report.longrepr}"


#: Folders whose files take longest, longest first: started first, they do not run alone at the end.
_LONG = ("system/consistency", "system/scenarios", "system", "integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `peers` need the real programs, tests marked `netns` root and `ip`."""
    places = {folder: place for place, folder in enumerate(_LONG)}
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        parents = item.path.relative_to(here).parents if item.path.is_relative_to(here) else ()
        return min((places[str(each)] for each in parents if str(each) in places), default=len(places))

    items.sort(key=place)
    missing = [name for name in ("consul", "serf") if shutil.which(name) is None]
    for item in items:
        if missing and item.get_closest_marker("peers"):
            why = f"the real {' and '.join(missing)} is not installed: run tests/peers/install"
            item.add_marker(pytest.mark.skip(reason=why))
        if item.get_closest_marker("netns") and (os.geteuid() != 0 or shutil.which("ip") is None):
            item.add_marker(pytest.mark.skip(reason="network namespaces need root and iproute2"))
