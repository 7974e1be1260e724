"""dnsmasq forwards `.consul` to us, as most machines with Consul do."""

import subprocess

import pytest

from tests.peers.programs import Host, eventually
from tests.system.clients.conftest import Agents, tool
from tests.system.clients.services import deregister, register, set_status

pytestmark = pytest.mark.peers

ADDRESS, PORT = "127.78.0.20", "5300"


def dig(*words: str) -> list[str]:
    """The lines of `dig +short`, asked of dnsmasq."""
    command = ["dig", "+short", "+time=2", "+tries=1", f"@{ADDRESS}", "-p", PORT, *words]
    return sorted(
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=90).stdout.split("\n")[:-1]
    )


def test_names_follow_the_service(agents: Agents, host: Host) -> None:
    dns = f"{agents.dns[0]}#{agents.dns[1]}"
    program = tool("dnsmasq")
    host.start(
        "dnsmasq", program, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=",
        "--group=", f"--listen-address={ADDRESS}", f"--port={PORT}", "--bind-interfaces", "--pid-file=", "--no-daemon",
        "--no-negcache", f"--server=/consul/{dns}", f"--rev-server=127.78.0.0/16,{dns}",
    )  # fmt: skip
    eventually(lambda: dig("tools-server.node.consul") == ["127.78.0.1"], "dnsmasq runs and asks us")
    assert dig("queue.service.consul") == []

    first = register(agents.client, "queue", 1, "127.78.0.21", 5672, "master")
    second = register(agents.client, "queue", 2, "127.78.0.22", 5673)
    eventually(lambda: dig("queue.service.consul") == ["127.78.0.21", "127.78.0.22"], "both instances")
    assert dig("master.queue.service.consul") == ["127.78.0.21"]
    assert dig("_queue._master.service.dc1.consul") == ["127.78.0.21"]
    srv = dig("queue.service.consul", "SRV")
    assert sorted(line.split()[2] for line in srv) == ["5672", "5673"]
    targets = sorted(line.split()[3] for line in srv)
    assert sorted(dig(target)[0] for target in targets) == ["127.78.0.21", "127.78.0.22"]
    assert dig("-x", "127.78.0.2") == ["tools-client.node.dc1.consul."]
    assert len(dig("+tcp", "queue.service.consul")) == 2

    set_status(agents.client, first, "fail")
    eventually(lambda: dig("queue.service.consul") == ["127.78.0.22"], "only the healthy one")
    deregister(agents.client, first)
    deregister(agents.client, second)
    eventually(lambda: dig("queue.service.consul") == [], "nobody")
