"""py-consul's Connect calls: one program, at a real agent and at ours; both see the same."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import consul
import pytest
from cryptography import x509

from tests.peers.programs import ask, eventually, hosts

pytestmark = [pytest.mark.peers]

ADDRESSES = {"consulpy": "127.78.4.1", "consul": "127.78.4.2"}
#: Members with other values in each cluster (a root's serial is an index), and texts that differ in such values only.
_ANY = {"Hash", "CreateIndex", "ModifyIndex", "CreatedAt", "UpdatedAt", "NotBefore", "NotAfter", "SerialNumber"}
_RANDOM = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|([0-9a-f]{2}:)+[0-9a-f]{2}|-----BEGIN[^$]*-----\n")
_NAMES = re.compile(r"pri-[0-9a-z]+\.consul\.ca\.[0-9a-f]{8}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server of each program with Connect; its address by the program's name."""
    with hosts(tmp_path_factory.mktemp("connect"), None) as (host,):
        settings = json.dumps({"connect": {"enabled": True}, "performance": {"raft_multiplier": 1}})
        for program, address in ADDRESSES.items():
            place = ["-node", "server", "-bind", address, "-client", address, "-data-dir", program]
            host.start(program, program, "agent", *place, "-server", "-bootstrap-expect", "1", "-hcl", settings)
        for address in ADDRESSES.values():
            eventually(lambda address=address: ask(f"{address}:8500/v1/connect/ca/roots")["Roots"], "a CA")
        yield ADDRESSES


def plain(value: Any) -> Any:
    """A value without what is random."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key not in _ANY}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, str):
        return _NAMES.sub("root", _RANDOM.sub("random", value))
    return value


def steps(address: str) -> list[Any]:
    """What the program sees at one agent."""
    client = consul.Consul(host=address)
    seen: list[Any] = []

    def see(what: str, call: Callable[[], Any]) -> Any:
        try:
            found = call()
        except consul.ConsulException as error:
            seen.append((what, type(error).__name__, plain(str(error))))
            return None
        seen.append((what, plain(found)))
        return found

    roots = see("roots", client.connect.ca.roots)
    see("roots at the agent", client.agent.connect.ca.roots)
    see("configuration", client.connect.ca.configuration)
    see("a leaf life", lambda: client.connect.ca.update_configuration("consul", {"LeafCertTTL": "24h"}))
    see("too short", lambda: client.connect.ca.update_configuration("consul", {"LeafCertTTL": "1m"}))
    see("no such provider", lambda: client.connect.ca.update_configuration("magic", {}))
    leaf = client.agent.connect.ca.leaf("web")
    certificate = x509.load_pem_x509_certificate(leaf["CertPEM"].encode())
    root = x509.load_pem_x509_certificate(roots["Roots"][0]["RootCert"].encode())
    certificate.verify_directly_issued_by(root)
    seen.append(("leaf", sorted(leaf), leaf["Service"], plain(leaf["ServiceURI"])))
    seen.append(("the same leaf", client.agent.connect.ca.leaf("web") == leaf))
    see("authorize", lambda: client.agent.connect.authorize("db", leaf["ServiceURI"], leaf["SerialNumber"]))
    deny = json.dumps({"SourceName": "web", "DestinationName": "db", "Action": "deny"}).encode()
    ask(f"{address}:8500/v1/connect/intentions", "POST", deny)
    see("intentions", client.connect.intentions.list)
    see("check", lambda: client.connect.intentions.check("web", "db"))
    see("check another", lambda: client.connect.intentions.check("api", "db"))
    for by, name in (("source", "web"), ("destination", "db"), ("source", "api")):
        see(f"match {by}", lambda by=by, name=name: client.connect.intentions.match(by, name))
    see("a chain", lambda: client.discovery_chain.get("web"))
    see("an override", lambda: client.discovery_chain.get("web", override_connect_timeout="10s"))
    see("a bad mode", lambda: client.discovery_chain.get("web", override_mesh_gateway_mode="nowhere"))
    service = {"proxy": {"upstreams": [{"destination_name": "db", "local_bind_port": 9191}]}}
    see("a sidecar", lambda: client.agent.service.register("web", port=80, connect={"sidecar_service": service}))
    eventually(lambda: client.catalog.connect("web")[1], "the agent told of its sidecar")
    see("the proxies", lambda: [row["ServiceProxy"] for row in client.catalog.connect("web")[1]])
    return seen


def test_py_consul_sees_the_same_of_connect(servers: dict[str, str]) -> None:
    ours, theirs = (steps(servers[program]) for program in ("consulpy", "consul"))
    assert len(theirs) >= 20
    assert [each for each in ours if each not in theirs] == [each for each in theirs if each not in ours] == []
