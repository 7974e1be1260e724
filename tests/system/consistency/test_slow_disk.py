"""A disk whose flushes hang for seconds: only those wait who need them; nothing acknowledged is lost by a kill -9."""

import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consulpy.memberlist.messages import Ping
from tests.peers.programs import Host, Program, ask, eventually, hosts

OURS = "127.76.0.3"
HTTP = f"{OURS}:8500"
HANG_S = 8
#: How long gossip, DNS and reads may take meanwhile; the machine of the tests may be busy for a moment.
ANSWER_MAX_S = 0.1


class SlowDisk:
    """Programs started here have flushes that hang while `hangs` exists."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.hangs = host.directory / "hangs"
        shim = host.directory / "slow_fsync.so"
        source = Path(__file__).with_name("slow_fsync.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True, timeout=60)
        self._environment = [f"LD_PRELOAD={shim}", f"SLOW_FSYNC_WHILE={self.hangs}", f"SLOW_FSYNC_S={HANG_S}"]

    def start(self, name: str) -> Program:
        flags = ["-node", "a", "-bind", OURS, "-client", OURS, "-data-dir", "data", "-server", "-bootstrap-expect", "1"]
        program = self._host.start(name, "env", *self._environment, "consulpy", "agent", *flags)
        eventually(lambda: ask(f"{HTTP}/v1/catalog/service/consul"), "it leads")
        return program


class Writes:
    """PUTs of different kinds, each in a thread of its own."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, float] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, path: str, body: bytes) -> None:
        began_s = time.monotonic()

        def put() -> None:
            try:
                ask(f"{HTTP}{path}", "PUT", body, within_s=60)
            except (OSError, ValueError):
                return  # killed before it was acknowledged
            self.acknowledged[path] = time.monotonic() - began_s

        self._threads.append(threading.Thread(target=put))
        self._threads[-1].start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(60)


def ping() -> None:
    """A probe of memberlist, and its ack."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(HANG_S)
        probe.sendto(Ping(7, "a").encode(), (OURS, 8301))
        assert probe.recv(2000)


def lookup() -> None:
    """The address of the node, by DNS."""
    name = b"".join(bytes([len(part)]) + part for part in (b"a", b"node", b"consul"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        query.settimeout(HANG_S)
        query.sendto(struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + name + b"\0\0\1\0\1", (OURS, 8600))
        assert socket.inet_aton(OURS) in query.recv(2000)


def read() -> None:
    """A key that was there before."""
    assert ask(f"{HTTP}/v1/kv/before?raw") == "there"


def slowest(call: Callable[[], None]) -> float:
    began_s = time.monotonic()
    call()
    return time.monotonic() - began_s


pytestmark = pytest.mark.programs("gcc")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SlowDisk]:
    with hosts(tmp_path, None) as (host,):
        yield SlowDisk(host)


def service(name: str) -> bytes:
    return f'{{"Name": "{name}", "Check": {{"TTL": "1h"}}}}'.encode()


def test_while_a_flush_hangs_everybody_but_the_writers_is_answered(disk: SlowDisk) -> None:
    program = disk.start("first")
    for number in range(50):  # a disk that has always been quick
        ask(f"{HTTP}/v1/kv/before", "PUT", b"there")
        ask(f"{HTTP}/v1/agent/service/register", "PUT", service(f"s{number % 3}"))
    disk.hangs.touch()
    writes = Writes()
    writes.begin("/v1/kv/during", b"x")
    writes.begin("/v1/agent/service/register", service("during"))
    writes.begin("/v1/agent/check/pass/service:s1", b"")
    writes.begin("/v1/catalog/register", b'{"Node": "other", "Address": "127.0.0.1"}')
    program.process.send_signal(signal.SIGHUP)  # a reload has to wait for the disk too
    took_s, late_s = [], 0.0
    end_s = time.monotonic() + HANG_S - 1
    while time.monotonic() < end_s:
        took_s += [max(slowest(call) for call in (ping, lookup, read))]
        late_s = max(late_s, slowest(lambda: time.sleep(0.05)) - 0.05)
    assert "/v1/kv/during" not in writes.acknowledged, "nothing is acknowledged before it is on disk"
    assert "/v1/agent/service/register" not in writes.acknowledged
    disk.hangs.unlink()
    writes.wait()

    # an answer needs both programs to run in turn, and each may have to wait for a busy machine as this one did
    assert sorted(took_s)[-2] < ANSWER_MAX_S + 4 * late_s, (sorted(took_s)[-5:], late_s)
    assert max(took_s) < HANG_S / 2
    assert len(writes.acknowledged) == 4, "each write is acknowledged afterwards"
    assert ask(f"{HTTP}/v1/kv/during?raw") == "x"
    assert "during" in ask(f"{HTTP}/v1/agent/services")
    assert ask(f"{HTTP}/v1/catalog/node/other")


def test_what_was_acknowledged_survives_a_kill_while_a_flush_hangs(disk: SlowDisk) -> None:
    program = disk.start("first")
    writes = Writes()
    for number in range(10):
        writes.begin(f"/v1/kv/before/{number}", b"x")
    writes.wait()
    disk.hangs.touch()
    for number in range(10):
        writes.begin(f"/v1/kv/during/{number}", b"x")
    time.sleep(1)
    program.kill()
    disk.hangs.unlink()
    writes.wait()

    disk.start("second")
    keys = set(ask(f"{HTTP}/v1/kv/?keys"))
    assert {path.removeprefix("/v1/kv/") for path in writes.acknowledged} <= keys
    assert len(writes.acknowledged) >= 10
