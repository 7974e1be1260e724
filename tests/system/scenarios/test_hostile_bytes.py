"""Any bytes on any port: the agent survives, keeps answering, and its memory stays bounded.

(Some of these, of four bytes only, end real Consul: tests/vectors/gossip/malformed.json.)
"""

import json
import random
import socket
from pathlib import Path

import pytest

from consulpy.memberlist.messages import USER, Ack, Ping, decode
from consulpy.memberlist.packet import Sealer
from tests.peers.programs import Host, ask, eventually, hosts

OURS = "127.43.0.1"
VECTORS = Path(__file__).parents[2] / "vectors"
GROWTH_MAX_KIB = 150 * 1024


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def acks(address: str) -> bool:
    """Whether a gossip ping is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.settimeout(2)
        plain.sendto(Ping(7, "").encode(), (address, 8301))
        sealer = Sealer(None, verify_incoming=True, verify_outgoing=True, label="")
        answers = [decode(message) for message in sealer.open(plain.recv(2000)) if message[0] != USER]
        return any(isinstance(answer, Ack) and answer.seq_no == 7 for answer in answers)


def send_stream(port: int, data: bytes) -> None:
    try:
        with socket.create_connection((OURS, port), timeout=2) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.2)
            while connection.recv(65536):
                pass
    except OSError:
        pass  # closed on us, or kept waiting: both are fine


def send_packet(port: int, data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.sendto(data[:60000], (OURS, port))


@pytest.fixture
def server(tmp_path: Path):
    with hosts(tmp_path, None) as (host,):
        flags = ["-node", "a", "-bind", OURS, "-client", OURS, "-data-dir", "data", "-server", "-bootstrap-expect", "1"]
        program = host.start("a", "consulpy", "agent", *flags)
        eventually(lambda: ask(f"{OURS}:8500/v1/status/leader"), "it leads")
        yield host, program


def still_well(host: Host) -> None:
    eventually(lambda: acks(OURS), "gossip is acknowledged")
    assert ask(f"{OURS}:8500/v1/agent/members")[0]["Name"] == "a"
    assert host.output("dig", "+short", f"@{OURS}", "-p", "8600", "a.node.consul").split() == [OURS]


def test_what_kills_real_peers_costs_us_nothing(server) -> None:
    host, program = server
    before = resident_kib(program.process.pid)
    for entry in json.loads((VECTORS / "gossip" / "malformed.json").read_text()):
        if entry["hex"]:
            send = send_packet if entry["transport"] == "packet" else send_stream
            send(8301, bytes.fromhex(entry["hex"]))
    still_well(host)
    assert resident_kib(program.process.pid) - before < GROWTH_MAX_KIB
    assert "Traceback" not in program.output


def test_noise_on_every_port_costs_us_nothing(server) -> None:
    host, program = server
    rng = random.Random(2026)
    before = resident_kib(program.process.pid)
    starts = [b"", b"\x04", b"\x00", b"\x07\x02", b"\x09", b"\x0a\xff\xff\xff\xff", b"GET /v1/", b"\x06", b"\xf4"]
    for _ in range(150):
        noise = rng.choice(starts) + rng.randbytes(rng.choice([0, 1, 12, 40, 600, 5000]))
        for port in (8301, 8302, 8600):
            send_packet(port, noise)
        send_stream(rng.choice([8300, 8301, 8302, 8500, 8600]), noise)
    still_well(host)
    assert resident_kib(program.process.pid) - before < GROWTH_MAX_KIB
    assert "Traceback" not in program.output
    assert len(program.output.splitlines()) < 1000, "a bad packet costs one log line at most"
