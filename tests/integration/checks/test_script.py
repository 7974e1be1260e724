"""Script checks with real processes; texts as a real agent gave them."""

import os
import signal
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from consulpy.checks.result import Result
from consulpy.checks.script import LINGERING_MAX, ScriptProbe
from tests.harness.checks import outcome, reactor


def script(*arguments: str, output_max: int = 0, timeout_s: float = 5) -> ScriptProbe:
    return ScriptProbe(reactor, list(arguments), output_max, timeout_s)


@pytest.mark.parametrize(("code", "status"), [(0, "passing"), (1, "warning"), (2, "critical"), (255, "critical")])
@pytest_twisted.ensureDeferred
async def test_script_status_follows_the_exit_code(code: int, status: str) -> None:
    result = await outcome(script("sh", "-c", f"echo out; echo err >&2; exit {code}"))
    assert result == Result(status, "out\nerr\n")


@pytest_twisted.ensureDeferred
async def test_script_stores_the_end_of_a_long_output() -> None:
    result = await outcome(script("sh", "-c", "yes | head -c 9000; exit 3"))
    assert result == Result("critical", "Captured 4096 of 9000 bytes\n...\n" + "y\n" * 2048)


@pytest.mark.parametrize(
    ("program", "output"),
    [
        ("/nonexist", "fork/exec /nonexist: no such file or directory"),
        ("nonexist", 'exec: "nonexist": executable file not found in $PATH'),
        ("./nonexist", "fork/exec ./nonexist: no such file or directory"),
        ("", "fork/exec : no such file or directory"),
        ("/tmp", "fork/exec /tmp: permission denied"),
        ("a\0b", "fork/exec a\0b: invalid argument"),
        ("\ud800", "fork/exec \ud800: invalid argument"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_script_that_cannot_start(program: str, output: str) -> None:
    assert await outcome(script(program)) == Result("critical", output)


def moment() -> Deferred[None]:
    pause: Deferred[None] = Deferred()
    reactor.callLater(0.01, pause.callback, None)
    return pause


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest_twisted.ensureDeferred
async def test_script_is_killed_with_its_descendants(tmp_path: Path) -> None:
    """The child ignores signals and would live on; the group is killed."""
    pids = tmp_path / "pids"
    command = f"trap '' TERM INT HUP; sleep 1000 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
    probe = script("sh", "-c", command, timeout_s=1)
    run = probe.run()
    run.addErrback(lambda _: None)
    while not pids.exists():
        await moment()
    run.cancel()
    for pid in pids.read_text().split():
        while is_running(pid):  # a kill takes the kernel a moment; the test's own limit ends a wait in vain
            await moment()
    assert probe.timed_out() == Result("critical", "Timed out (1s) running check")


@pytest_twisted.ensureDeferred
async def test_a_timeout_reports_the_output_so_far() -> None:
    """Of both streams, as Consul shows it."""
    probe = script("sh", "-c", "echo out; echo err >&2; sleep 1000", timeout_s=1)
    run = probe.run()
    run.addErrback(lambda _: None)
    while "err" not in probe.timed_out().output:
        await moment()
    run.cancel()
    assert probe.timed_out() == Result("critical", "Timed out (1s) running check\n\nout\nerr\n")


@pytest_twisted.ensureDeferred
async def test_the_output_of_one_run_is_not_reported_for_the_next() -> None:
    probe = script("sh", "-c", "echo out")
    await probe.run()
    probe._arguments = ["/nonexist"]
    assert (await outcome(probe)).status == "critical"
    assert "out\n" not in probe.timed_out().output


@pytest_twisted.ensureDeferred
async def test_background_processes_of_a_script_are_not_killed(tmp_path: Path) -> None:
    """The script exits immediately; its child may go on printing, which is dropped."""
    pids, printed = tmp_path / "pids", tmp_path / "printed"
    child = f"sleep 0.2; echo more; echo more; touch {printed}; exec sleep 1000"
    result = await outcome(script("sh", "-c", f"(echo $$; {child}) & echo $! > {pids}; echo done"))
    assert result.status == "passing"
    assert "done\n" in result.output
    pid = pids.read_text().strip()
    try:
        while not printed.exists():
            await moment()
        assert is_running(pid)
    finally:
        os.kill(int(pid), signal.SIGKILL)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest_twisted.ensureDeferred
async def test_background_processes_of_many_runs_use_few_descriptors(tmp_path: Path) -> None:
    probe = script("sh", "-c", f"sleep 1000 & echo $! >> {tmp_path}/pids")
    before = descriptors()
    try:
        for _ in range(2 * LINGERING_MAX):
            assert (await outcome(probe)).status == "passing"
        assert descriptors() <= before + LINGERING_MAX
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


def test_signals_are_where_they_should_be() -> None:
    """Script checks must not disturb the process' own children."""
    assert signal.getsignal(signal.SIGKILL) == signal.SIG_DFL
    assert os.getpgid(0) == os.getpgrp()
