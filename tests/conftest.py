"""What all tests share: networks of their own, how much is tried, that tests without their programs are skipped, and
that the end of a run says what it left out."""

import ctypes
import gc
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.harness.effort import FRACTION, FULL, HOW, cases, named_files, short_run

VECTORS = Path(__file__).parent / "vectors"
_CLONE_NEWNET = 0x40000000  # linux/sched.h; os.unshare came with Python 3.12
_SET_UP = (
    "link set lo up",
    "link add eth0 type veth peer name eth1",  # a host with one private address, as most are
    "addr add 10.77.0.1/24 dev eth0",
    "link set eth0 up",
    "link set eth1 up",
)

# Else each program that a test starts would compile the whole package again, and each worker rewrite all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A busy machine is no fault of an example; each test has pytest's time limit.
hypothesis_settings.register_profile(
    "consulpy", deadline=None, max_examples=cases(100), suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("consulpy")


def _own_network() -> str:
    """Give this process a network of its own; why that is not possible, or nothing.

    Fixed addresses of two runs or two workers then never meet.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        return "network namespaces need root and iproute2"
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as before:
        if libc.unshare(_CLONE_NEWNET) != 0:
            return "this container may not make network namespaces"
        for words in _SET_UP:
            if subprocess.run(["ip", *words.split()], capture_output=True, check=False).returncode != 0:
                libc.setns(before.fileno(), _CLONE_NEWNET)
                return f"network namespaces are of no use here: `ip {words}` fails"
    return ""


_no_namespaces = ""
#: How many tests the short run leaves out, by reason.
_LEFT_OUT: pytest.StashKey[Counter[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    global _no_namespaces
    _no_namespaces = _own_network()
    config.stash[_LEFT_OUT] = Counter()
    gc.disable()  # until all is collected


def pytest_report_header() -> str:
    return "all cases" if FULL else f"short run: without long tests, one in {FRACTION} of many cases; {HOW}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Twice the cores, since most of the system tests wait; or as PYTEST_XDIST_AUTO_NUM_WORKERS says."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return 2 * len(os.sched_getaffinity(0)) if sys.platform == "linux" else 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """In one network that all workers share, files of a folder, which may use the same addresses, go to one worker."""
    if not _no_namespaces:
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadFolderScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return file.rpartition("/")[0] if file.startswith("tests/system/") else file

    return LoadFolderScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """In a run of all tests each worker imports the files from another one on, and stores them compiled for the others.

    Otherwise the workers of a new checkout, which collect in one order, would all compile the same file at a time.
    """
    config = session.config
    worker = getattr(config, "workerinput", None)
    if worker is None or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    files = sorted(Path(__file__).parent.rglob("test_*.py"))
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in files[first:] + files[:first]:
        with suppress(Exception):  # the collection reports it
            import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """What was collected stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With CONSULPY_REQUIRE_ALL=1 (as `.ci/run` sets it) a skipped test is a failure."""
    outcome = yield
    report = outcome.get_result()
    # programs may print bytes that are no text, which xdist cannot send
    report.sections = [(name, text.encode(errors="replace").decode()) for name, text in report.sections]
    if report.skipped and os.environ.get("CONSULPY_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but everything must run here: {report.longrepr}"


def _shorten(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the short run does not try. A run that selects tests by an expression names them all."""
    if config.option.keyword or config.option.markexpr:
        return
    named = named_files(config.args, config.invocation_params.dir)
    is_named = cache(lambda path: path.resolve() in named)
    chosen, left_out = short_run(items, lambda item: is_named(item.path))
    config.stash[_LEFT_OUT] = left_out
    items[:] = chosen


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells what it left out, which is the same in each."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash[_LEFT_OUT])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_LEFT_OUT].update(
        Counter(getattr(node, "workeroutput", {}).get("left_out", {})) - node.config.stash[_LEFT_OUT]
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was not run and why, a line for each reason."""
    skipped = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    )
    if not skipped and not config.stash[_LEFT_OUT]:
        return
    terminalreporter.section("not run", "=")
    for reason, number in [*skipped.most_common(), *config.stash[_LEFT_OUT].most_common()]:
        terminalreporter.line(f"{number:5}  {reason}")


#: Folders whose files take longest, longest first: started first, they do not run alone at the end.
_LONG = (
    *(f"system/{name}" for name in ("consistency", "scenarios", "conformance", "diagnosis", "testing", "ui")),
    "system",
    "integration",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `peers` need the real programs, tests marked `netns` namespaces, `programs(NAME...)` those."""
    if not FULL:
        _shorten(config, items)
    places = {folder: place for place, folder in enumerate(_LONG)}
    here = Path(__file__).parent

    @cache
    def place(path: Path) -> int:
        parents = path.relative_to(here).parents if path.is_relative_to(here) else ()
        return min((places[str(each)] for each in parents if str(each) in places), default=len(places))

    items.sort(key=lambda item: place(item.path))
    missing = [name for name in ("consul", "serf") if shutil.which(name) is None]
    no_peers = pytest.mark.skip(reason=f"the real {' and '.join(missing)} not installed: run tests/peers/install")
    for item in items:
        if missing and item.get_closest_marker("peers"):
            item.add_marker(no_peers)
        if _no_namespaces and item.get_closest_marker("netns"):
            item.add_marker(pytest.mark.skip(reason=_no_namespaces))
        for mark in item.iter_markers("programs"):
            for name in mark.args:
                if shutil.which(name) is None:
                    item.add_marker(pytest.mark.skip(reason=f"{name} is not installed: `.ci/run setup` installs it"))
