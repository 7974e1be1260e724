"""The npm package `consul` works with us: the Node program client.js says what it saw at each step."""

import json
from pathlib import Path

import pytest

from tests.peers.programs import Host
from tests.system.clients.conftest import Agents, npm_modules

pytestmark = pytest.mark.peers


def test_a_node_program_registers_checks_and_watches(agents: Agents, host: Host) -> None:
    modules = str(npm_modules())
    script = str(Path(__file__).with_name("client.js"))
    lines = host.output("node", script, modules, *agents.client.split(":")).splitlines()
    saw = dict(json.loads(line) for line in lines)
    assert saw["leader"] == "127.78.0.1:8300"
    assert saw["members"] == saw["catalog nodes"] == ["tools-client", "tools-server"]
    assert saw["came"] == ["noded-1", ["a", "b"], {"version": "1"}, "tools-client"]
    assert (saw["fail"], saw["warn"]) == ("on fire", "hot")
    assert saw["services"] == ["a", "b"]
    assert saw["nodes"] == [["127.78.0.40", 4000]]
    assert saw["agent"] == 4000
    assert saw["datacenters"] == ["dc1"]
    assert saw["gone"] == []
    assert saw["error"] == [500, 'CheckID "service:noded-1" does not have associated TTL']
