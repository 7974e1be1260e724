"""Without file descriptors an agent goes on gossiping, says so once, and serves again when there are some."""

import contextlib
import json
import resource
import socket
import time
from pathlib import Path

from tests.peers.programs import Program, ask, eventually, hosts, members

ONE, TWO = "127.47.0.1", "127.47.0.2"
OTHER = "127.47.0.9"


def set_limit(program: Program, limit: int) -> None:
    hard = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE, (min(limit, hard), hard))


def descriptors(program: Program) -> int:
    return len(list(Path(f"/proc/{program.process.pid}/fd").iterdir()))


def question(name: str) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    return b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x01\x00\x01"


def rcode(name: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(question(name), (ONE, 8600))
        return asking.recv(4096)[3] & 15


def by_tcp(name: str, source: str) -> int:
    with socket.create_connection((ONE, 8600), 5, (source, 0)) as asking:
        packet = question(name)
        asking.sendall(len(packet).to_bytes(2, "big") + packet)
        return asking.recv(4096)[2 + 3] & 15


def test_gossip_goes_on_without_descriptors_and_everything_when_they_return(tmp_path: Path) -> None:
    config = tmp_path / "one.json"
    check = {"tcp": f"{ONE}:8500", "interval": "1s"}
    config.write_text(json.dumps({"recursors": ["127.47.0.53"], "service": {"name": "web", "check": check}}))
    with hosts(tmp_path, None) as (host,):
        flags = ["--node", "one", "--bind", ONE, "--client", ONE, "--data-dir", "one", "--config-file", str(config)]
        one = host.start("one", "consulpy", "agent", "--server", "--bootstrap-expect", "1", *flags)
        eventually(lambda: ask(f"{ONE}:8500/v1/status/leader"), "it leads")
        other = ["--node", "two", "--bind", TWO, "--client", TWO, "--data-dir", "two", "--retry-join", ONE]
        host.start("two", "consulpy", "agent", *other)
        both = {"one": "alive", "two": "alive"}
        eventually(lambda: members(f"{ONE}:8500") == members(f"{TWO}:8500") == both, "both know each other")
        eventually(lambda: ask(f"{ONE}:8500/v1/health/state/passing"), "the check passes")

        set_limit(one, descriptors(one))
        end_s = time.monotonic() + 8
        while time.monotonic() < end_s:
            assert rcode("one.node.consul") == 0
            assert rcode("elsewhere.example.com") == 2
            with contextlib.suppress(OSError, ValueError):
                ask(f"{ONE}:8500/v1/status/leader", within_s=1)
            assert members(f"{TWO}:8500") == both, "nobody suspects it"
            time.sleep(0.2)
        set_limit(one, 4096)

        assert ask(f"{ONE}:8500/v1/status/leader")
        eventually(lambda: ask(f"{ONE}:8500/v1/agent/checks")["service:web"]["Status"] == "passing", "checks run")
        assert members(f"{ONE}:8500") == both
        ask(f"{TWO}:8500/v1/agent/service/register", "PUT", b'{"Name":"late"}')
        eventually(lambda: ask(f"{ONE}:8500/v1/catalog/service/late"), "calls arrive")
        assert one.output.count("out of file descriptors") == 1
        assert "Traceback" not in one.output
        assert "Errno 24" not in one.output


def test_idle_connections_of_one_address_shut_nobody_out(tmp_path: Path) -> None:
    config = tmp_path / "one.json"
    limits = {"http_max_conns_per_client": 100_000, "rpc_max_conns_per_client": 100_000}
    config.write_text(json.dumps({"limits": limits}))
    with hosts(tmp_path, None) as (host,), contextlib.ExitStack() as idle:
        flags = ["--node", "one", "--bind", ONE, "--client", ONE, "--data-dir", "one", "--config-file", str(config)]
        limited = ["prlimit", "--nofile=1024:1024", "consulpy", "agent", "--server", "--bootstrap-expect", "1"]
        one = host.start("one", *limited, *flags)
        eventually(lambda: ask(f"{ONE}:8500/v1/status/leader"), "it leads")
        for port in (8600, 8500, 8300):
            for _ in range(1100):
                idle.enter_context(socket.create_connection((ONE, port), 5))
            assert by_tcp("one.node.consul", OTHER) == 0
            with socket.create_connection((ONE, 8500), 5, (OTHER, 0)) as asking:
                asking.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n")
                assert asking.recv(4096).startswith(b"HTTP/1.1 200")
            with socket.create_connection((ONE, 8300), 5, (OTHER, 0)) as calling:
                calling.sendall(b"\x04" + b"\0\2\0\1" + bytes(8))  # yamux: a ping
                assert calling.recv(12)[:2] == b"\0\2"
        assert descriptors(one) < 1024
        assert "Traceback" not in one.output
