"""A disk that is really full: writes fail, reads go on, nothing that was acknowledged is lost, writes come back."""

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, Program, ask, eventually, hosts

pytestmark = pytest.mark.netns  # mounting needs root, as namespaces do

OURS = "127.76.0.2"
HTTP = f"{OURS}:8500"
DISK_BYTES = 4 * 1024 * 1024
VALUE = b"x" * 20_000


class Disk:
    """A small disk that only programs started here see."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.path = host.directory / "disk"
        self.path.mkdir()
        mount = f"mount -t tmpfs -o size={DISK_BYTES} tmpfs {self.path} && touch {self.path}/ready && exec sleep 280"
        self._holder = host.start("disk", "unshare", "--mount", "sh", "-c", mount)
        self._seen = Path(f"/proc/{self._holder.process.pid}/root{self.path}")
        eventually(lambda: (self._seen / "ready").exists(), "the disk is mounted")

    def start(self, name: str) -> Program:
        """A server that has its data here."""
        flags = ["-data-dir", f"{self.path}/data", "-server", "-bootstrap-expect", "1"]
        enter = ["nsenter", "--mount", "--target", str(self._holder.process.pid)]
        return self._host.start(name, *enter, "consulpy", "agent", "-node", "a", "-bind", OURS, "-client", OURS, *flags)

    def fill(self) -> None:
        """Take all room that is left."""
        with (self._seen / "filler").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Give it back."""
        (self._seen / "filler").unlink()


def put(key: str, value: bytes = VALUE) -> bool:
    """Whether a write was acknowledged."""
    try:
        return ask(f"{HTTP}/v1/kv/{key}", "PUT", value) is True
    except ValueError as error:
        if not str(error).startswith("500") or "disk is full" not in str(error):
            raise
        return False


def entries() -> dict[str, Any]:
    return {entry["Key"]: entry for entry in ask(f"{HTTP}/v1/kv/?recurse")}


def leads(program: Program) -> Any:
    try:
        return eventually(lambda: ask(f"{HTTP}/v1/status/leader") and ask(f"{HTTP}/v1/catalog/nodes"), "it leads")
    except AssertionError as error:
        raise AssertionError(f"{error}; status {program.process.poll()}:\n{program.output[-4000:]}") from None


def test_a_full_disk_costs_writes_and_nothing_else(tmp_path: Path) -> None:
    with hosts(tmp_path, None) as (host,):
        disk = Disk(host)
        program = disk.start("first")
        leads(program)
        acknowledged = [key for key in (f"before/{number}" for number in range(10)) if put(key)]
        assert len(acknowledged) == 10
        disk.fill()
        refused = []
        for number in range(60):
            (acknowledged if put(f"during/{number}") else refused).append(f"during/{number}")
        assert len(refused) > 5
        assert entries().keys() == set(acknowledged), "reads show all that was acknowledged, and nothing else"
        disk.free()
        eventually(lambda: put("after"), "there is room again")
        acknowledged.append("after")
        assert program.process.poll() is None
        before = entries()
        assert before.keys() == set(acknowledged)
        program.kill()
        leads(disk.start("second"))
        assert entries() == before


def test_a_server_started_on_a_full_disk_says_so_and_leads_by_itself_when_there_is_room(tmp_path: Path) -> None:
    with hosts(tmp_path, None) as (host,):
        disk = Disk(host)
        program = disk.start("first")
        leads(program)
        assert put("before")
        disk.fill()
        for number in range(60):
            put(f"during/{number}")
        before = entries()
        program.kill()
        program = disk.start("second")
        eventually(lambda: "disk is full" in program.output, "it says why it does not lead")
        assert program.process.poll() is None
        disk.free()
        leads(program)
        assert entries() == before
        assert put("after")
