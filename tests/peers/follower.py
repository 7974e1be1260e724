"""A real server that follows a leader which is this test: it applies what it is given, and shows its state."""

import gzip
import io
import socket
import tarfile
import time
import urllib.error
import urllib.request
from typing import Any

import msgpack

from consulpy.codec.msgpack import unpack_from
from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.framing import RAFT_BYTE, RaftUnpacker
from consulpy.raft.messages import (
    COMMAND,
    CONFIGURATION,
    NOOP,
    AppendEntries,
    AppendEntriesReply,
    LogEntry,
    decode_reply,
    encode_request,
)
from consulpy.state.commands import KVS
from consulpy.structs.kv import SET, DirEntry, KVRequest
from tests.peers.programs import Host, eventually

ID, LEADER_ID = "22222222-2222-2222-2222-222222222222", "11111111-1111-1111-1111-111111111111"
#: Key that is written last, to see that all before it is applied.
MARK = "applied"


class RealFollower:
    """Entries 1 and 2 are the configuration, in which it has no vote, and the noop of term 2."""

    def __init__(self, host: Host, name: str, address: str, leader: str) -> None:
        self._address = address
        self._leader = f"{leader}:8300"
        place = ["-node", "real", "-node-id", ID, "-bind", address, "-client", address, "-data-dir", f"data-{name}"]
        self.program = host.start(name, "consul", "agent", "-server", "-bootstrap-expect", "3", *place)
        self._socket = eventually(lambda: socket.create_connection((address, 8300), 1), "it listens")
        self._socket.settimeout(20)
        self._socket.sendall(RAFT_BYTE)
        self._unpacker = RaftUnpacker()
        self.index = self._term = 0
        servers = [Server(self._leader, LEADER_ID), Server(f"{address}:8300", ID, 1)]
        self._append([LogEntry(Configuration.of(servers).pack(), None, 1, 1, CONFIGURATION)], 1)
        self._append([LogEntry(None, None, 2, 2, NOOP)], 2)

    def apply(self, commands: list[bytes]) -> bool:
        """Have it apply commands, and one more; whether it outlives them."""
        mark = KVS(KVRequest(datacenter="dc1", op=SET, dir_ent=DirEntry(key=MARK, flags=self.index))).encode()
        flags = f'"Flags":{self.index},'
        entries = [LogEntry(data, None, self.index + 1 + at, 2, COMMAND) for at, data in enumerate([*commands, mark])]
        try:
            self._append(entries, 2)
            for _ in range(600):
                if self.program.process.poll() is not None:
                    return False
                self._append([], 2)
                if flags in self._get(f"kv/{MARK}?stale").decode(errors="replace"):
                    return True
                time.sleep(0.05)
        except (OSError, EOFError):
            return self.program.process.poll() is None
        raise AssertionError("it does not apply what it has")

    def records(self) -> list[tuple[int, Any]]:
        """Its state: type and body of each record."""
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(self._get("snapshot?stale")))) as archive:
            file = archive.extractfile("state.bin")
            assert file is not None
            rest = memoryview(file.read())
        rest = rest[unpack_from(rest)[1] :]
        found = []
        while rest:
            value, size = unpack_from(rest[1:])
            found.append((rest[0], value))
            rest = rest[1 + size :]
        return found

    def _get(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(f"http://{self._address}:8500/v1/{path}", timeout=10) as response:
                return bytes(response.read())
        except urllib.error.HTTPError:
            return b""

    def _append(self, entries: list[LogEntry], term: int) -> None:
        previous, self.index = self.index, self.index + len(entries)
        request = AppendEntries(entries, self._leader, self.index, previous, self._term, term=term)
        self._term = term
        self._socket.sendall(encode_request(request))
        answer: list[Any] = []
        while len(answer) < 2:
            try:
                answer.append(self._unpacker.unpack())
            except msgpack.OutOfData:
                data = self._socket.recv(1 << 16)
                if not data:
                    raise EOFError from None
                self._unpacker.feed(data)
        reply = decode_reply(AppendEntries, *answer)
        assert isinstance(reply, AppendEntriesReply)
        assert reply.success, reply
