"""Large answers beside gossip: clients that read 50 MB keep no other waiting."""

import base64
import json
import socket
import threading
import time
import urllib.request
import zlib
from pathlib import Path
from random import Random

import pytest

from consulpy.memberlist.messages import Ping
from tests.peers.programs import ask, eventually, hosts

OURS = "127.76.0.4"
HTTP = f"{OURS}:8500"
KEYS, VALUE_BYTES = 50_000, 768
BATCH = 64
READERS = 6
#: How long a probe may take; all but one in two hundred: the machine of the tests may be busy for a moment.
PROBE_MAX_S = 0.2


def fill() -> None:
    """50 MB of values that hardly compress."""
    random = Random(12)
    for first in range(0, KEYS, BATCH):
        operations = [
            {"KV": {"Verb": "set", "Key": f"big/{number:06}", "Value": _value(random)}}
            for number in range(first, min(first + BATCH, KEYS))
        ]
        ask(f"{HTTP}/v1/txn", "PUT", json.dumps(operations).encode())


def _value(random: Random) -> str:
    return base64.b64encode(base64.b64encode(random.randbytes(VALUE_BYTES))).decode()


class Probes:
    """memberlist's probes of the server, one after the other."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Probes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(30)
            while not self._over.wait(0.01):
                began_s = time.monotonic()
                probe.sendto(Ping(len(self.took_s), "a").encode(), (OURS, 8301))
                probe.recv(2000)
                self.took_s.append(time.monotonic() - began_s)


def read(sizes: list[int]) -> None:
    request = urllib.request.Request(f"http://{HTTP}/v1/kv/big/?recurse", headers={"Accept-Encoding": "gzip"})
    unpack, size = zlib.decompressobj(wbits=31), 0
    with urllib.request.urlopen(request, timeout=120) as answer:
        while data := answer.read(1 << 16):
            size += len(unpack.decompress(data))
    sizes.append(size)


@pytest.mark.long
def test_gossip_is_answered_while_six_clients_read_fifty_megabytes_compressed(tmp_path: Path) -> None:
    with hosts(tmp_path, None) as (host,):
        flags = ["-node", "a", "-bind", OURS, "-client", OURS, "-data-dir", "data", "-server", "-bootstrap-expect", "1"]
        program = host.start("a", "consulpy", "agent", *flags)
        eventually(lambda: ask(f"{HTTP}/v1/catalog/service/consul"), "it leads")
        fill()
        sizes: list[int] = []
        with Probes() as probes:
            readers = [threading.Thread(target=read, args=(sizes,)) for _ in range(READERS)]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        assert len(set(sizes)) == 1
        assert len(sizes) == READERS
        assert sizes[0] > 1300 * KEYS
        took_s = sorted(probes.took_s)
        assert took_s[-1 - len(took_s) // 200] < PROBE_MAX_S, took_s[-10:]
        assert took_s[-1] < 5 * PROBE_MAX_S
        metrics = ask(f"{HTTP}/v1/agent/metrics")["Samples"]
        assert "consul.runtime.reactor_turn" in [sample["Name"] for sample in metrics], program.output[-500:]
