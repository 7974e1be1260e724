"""HAProxy finds its backends in our SRV answers (`resolvers` and `server-template`)."""

import socket

import pytest

from tests.peers.programs import Host, ask, eventually
from tests.system.clients.conftest import Agents, tool
from tests.system.clients.services import deregister, register, set_status, web

pytestmark = pytest.mark.peers

PROXY = ("127.78.0.10", 8080)

CONFIG = """
global
    stats socket {socket} level admin
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    retries 0
resolvers consul
    nameserver consul {dns}
    accepted_payload_size 8192
    hold valid 200ms
    hold obsolete 200ms
    hold nx 200ms
    hold other 200ms
    timeout resolve 200ms
    timeout retry 500ms
frontend in
    bind {proxy}
    default_backend web
backend web
    balance roundrobin
    server-template web 4 _shop._tcp.service.consul resolvers consul resolve-prefer ipv4 init-addr none
"""


def answers(times: int = 8) -> set[str]:
    """What the backends say that HAProxy sends requests to."""
    return {str(ask(f"{PROXY[0]}:{PROXY[1]}/")) for _ in range(times)}


def no_backend() -> bool:
    try:
        ask(f"{PROXY[0]}:{PROXY[1]}/")
    except ValueError as error:
        return str(error).startswith("503")
    return False


def used_servers(path: str) -> int:
    """How many of the template's servers have an address, by HAProxy's own account."""
    with socket.socket(socket.AF_UNIX) as stats:
        stats.connect(path)
        stats.sendall(b"show servers state web\n")
        text = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
    rows = [line.split() for line in text.splitlines() if line and line[0].isdigit() and " " in line]
    return sum(row[4].startswith("127.78.") for row in rows)


def test_backends_follow_the_service(agents: Agents, host: Host) -> None:
    program = tool("haproxy")
    stats = str(host.directory / "s")
    dns = f"{agents.dns[0]}:{agents.dns[1]}"
    config = host.directory / "haproxy.cfg"
    config.write_text(CONFIG.format(socket=stats, dns=dns, proxy=f"{PROXY[0]}:{PROXY[1]}"))
    with web("127.78.0.11", "one") as first_port, web("127.78.0.12", "two") as second_port:
        haproxy = host.start("haproxy", program, "-db", "-f", str(config))
        eventually(no_backend, "HAProxy runs and has nothing to send requests to")

        first = register(agents.client, "shop", 1, "127.78.0.11", first_port)
        eventually(lambda: answers() == {"one"}, "the first instance gets the requests")
        second = register(agents.client, "shop", 2, "127.78.0.12", second_port)
        eventually(lambda: answers() == {"one", "two"}, "both get requests")
        assert used_servers(stats) == 2

        set_status(agents.client, first, "fail")
        eventually(lambda: answers() == {"two"}, "a critical instance gets none")
        set_status(agents.client, first, "pass")
        eventually(lambda: answers() == {"one", "two"}, "it is back")

        deregister(agents.client, first)
        deregister(agents.client, second)
        eventually(no_backend, "nobody is left")
        assert haproxy.process.poll() is None
