"""Somebody sets the clock of a running agent by an hour: whoever reads the time sees it, no timer does.

libfaketime (Debian package `faketime`) changes what the process sees of the wall clock, not of the monotonic one.
"""

import email.utils
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers.programs import ask, eventually, hosts, members

ONE, TWO = "127.46.0.1", "127.46.0.2"
HOUR_S = 3600
TTL_S = 4


#: libfaketime for programs with threads, if it is installed.
LIBRARIES = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


@contextmanager
def counting_listener() -> Iterator[tuple[int, list[float]]]:
    """Port of a listener, and when somebody connected."""
    times: list[float] = []
    with socket.create_server((ONE, 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    listening.accept()[0].close()
                except OSError:
                    return
                times.append(time.monotonic())

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], times
        listening.shutdown(socket.SHUT_RDWR)


def date() -> float:
    """The time that the agent tells its clients."""
    with urllib.request.urlopen(f"http://{ONE}:8500/v1/status/leader", timeout=60) as answer:
        return email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()


def status(check: str) -> str:
    found: str = ask(f"{ONE}:8500/v1/agent/checks")[check]["Status"]
    return found


def waited_s(wait_s: int) -> float:
    began_s = time.monotonic()
    ask(f"{ONE}:8500/v1/catalog/nodes?index=1000000&wait={wait_s}s")
    return time.monotonic() - began_s


@pytest.mark.long
@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed (Debian package faketime)")
@pytest.mark.parametrize(
    ("way", "by_s"),
    [("consulpy agent", -HOUR_S), ("consulpy agent", HOUR_S), ("twistd -n --pidfile= consulpy", -HOUR_S)],
)
def test_no_timer_follows_the_wall_clock(tmp_path: Path, way: str, by_s: int) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    fake = [f"LD_PRELOAD={LIBRARIES[0]}", f"FAKETIME_TIMESTAMP_FILE={offset}", "FAKETIME_NO_CACHE=1"]
    fake += ["FAKETIME_DONT_FAKE_MONOTONIC=1"]
    with hosts(tmp_path, None) as (host,), counting_listener() as (port, connected):
        flags = ["--node", "one", "--bind", ONE, "--client", ONE, "--data-dir", "one", "--server"]
        host.start("one", "env", *fake, *way.split(), *flags, "--bootstrap-expect", "1")
        eventually(lambda: ask(f"{ONE}:8500/v1/status/leader"), "it leads")
        other = ["--node", "two", "--bind", TWO, "--client", TWO, "--data-dir", "two", "--retry-join", ONE]
        two = host.start("two", "consulpy", "agent", *other)
        eventually(lambda: members(f"{ONE}:8500").get("two") == "alive", "both know each other")
        web = f'{{"Name":"web","Checks":[{{"TTL":"{TTL_S}s"}},{{"TCP":"{ONE}:{port}","Interval":"1s"}}]}}'
        ask(f"{ONE}:8500/v1/agent/service/register", "PUT", web.encode())
        session = ask(f"{ONE}:8500/v1/session/create", "PUT", b'{"TTL":"10s"}')["ID"]
        assert ask(f"{ONE}:8500/v1/kv/lock?acquire={session}", "PUT", b"x") is True
        eventually(lambda: connected, "the interval check runs")

        ask(f"{ONE}:8500/v1/agent/check/pass/service:web:1", "PUT")
        passed_s = time.monotonic()
        offset.write_text(f"{by_s:+d}")
        assert date() - time.time() == pytest.approx(by_s, abs=5), "the clock was set"
        assert 2 <= waited_s(2) < 2 + 2 / 16 + 1.5
        assert status("service:web:1") == "passing"
        assert ask(f"{ONE}:8500/v1/session/info/{session}"), "no session ends because the clock was set"
        assert ask(f"{ONE}:8500/v1/kv/lock")[0]["Session"] == session

        two.kill()
        eventually(lambda: status("service:web:1") == "critical", "the time to live ends", TTL_S + 60)
        assert time.monotonic() - passed_s > TTL_S - 0.5
        assert sum(1 for at in connected if at > passed_s) >= 2, "the interval check goes on"
        eventually(lambda: members(f"{ONE}:8500")["two"] == "failed", "a dead member is noticed")
        eventually(lambda: not ask(f"{ONE}:8500/v1/session/info/{session}"), "the session ends in time")
