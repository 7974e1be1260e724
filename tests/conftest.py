"""What all tests share: where the real peers are, and that nothing may be skipped where everything is installed."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parent / "vectors"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With CONSULPY_REQUIRE_ALL=1 (as `.ci/run` sets it) a skipped test is a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CONSULPY_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but everything must run here: {report.longrepr}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `peers` need the real programs, tests marked `netns` root and `ip`."""
    missing = [name for name in ("consul", "serf") if shutil.which(name) is None]
    for item in items:
        if missing and item.get_closest_marker("peers"):
            why = f"the real {' and '.join(missing)} is not installed: run tests/peers/install"
            item.add_marker(pytest.mark.skip(reason=why))
        if item.get_closest_marker("netns") and (os.geteuid() != 0 or shutil.which("ip") is None):
            item.add_marker(pytest.mark.skip(reason="network namespaces need root and iproute2"))
