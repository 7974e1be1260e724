"""What an agent at rest does not load: it would pay for it in memory and in the time of its start."""

import subprocess
import sys

import pytest

#: Loaded for the first request that needs them.
FOR_SOME_REQUESTS = (
    "klein",
    "werkzeug",
    "twisted.web.server",
    "re2",
    "h2",
    "tarfile",
    "consulpy.http.ui",
    "consulpy.http.api.routes.kv",
    "consulpy.http.api.routes.acl",
)
#: Loaded for the first check that needs them.
FOR_SOME_CHECKS = ("twisted.web.client", "consulpy.checks.grpc", "consulpy.checks.tls", "consulpy.checks.docker")


#: Loaded for the first call, or where it is configured.
FOR_SOME_AGENTS = (
    "consulpy.agent.build.server",
    "consulpy.codec.hcl",
    "consulpy.leader",
    "consulpy.rpc.acl.guard",
    "consulpy.rpc.endpoints.kvs",
    "consulpy.rpc.endpoints.acl",
    "cryptography",
)


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of an agent that has just started."""
    program = "import sys, consulpy.service; print(*sys.modules, sep='\\n')"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=90)
    return set(told.stdout.split())


def test_the_modules_of_the_doors_are_loaded_from_the_start(loaded: set[str]) -> None:
    assert {"consulpy.http.api.app", "consulpy.http.api.routes", "twisted.web.http", "twisted.names.dns"} <= loaded


@pytest.mark.parametrize("name", FOR_SOME_REQUESTS + FOR_SOME_CHECKS + FOR_SOME_AGENTS)
def test_what_only_some_requests_checks_or_agents_need_is_not(loaded: set[str], name: str) -> None:
    assert name not in loaded


#: A server that has started in the reactor's first turn, and one that leads.
SERVER = """
import sys
from twisted.internet import reactor, task
from consulpy.agent import Agent

async def main(reactor):
    agent = Agent.create(reactor, server=True, ports="ephemeral", config={"connect": {"enabled": True}})
    led = task.ensureDeferred(agent.start())
    print("cryptography" in sys.modules, agent.url.startswith("http://127.0.0.1:"))
    await led
    roots = (await agent.request("GET", "/v1/connect/ca/roots")).json()
    print("cryptography" in sys.modules, len(roots["Roots"]), (await agent.request("GET", "/v1/catalog/nodes")).status)
    await agent.stop()

task.react(lambda reactor: task.ensureDeferred(main(reactor)))
"""


def test_a_server_listens_before_it_loads_the_certificate_authority() -> None:
    """It is there before the server leads, as in Consul."""
    told = subprocess.run([sys.executable, "-c", SERVER], capture_output=True, text=True, check=True, timeout=90)
    assert told.stdout.split("\n") == ["False True", "True 1 200", ""]
