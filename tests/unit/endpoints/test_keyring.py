"""Internal.KeyringOperation: key operations in the gossip pools of all datacenters. Source: Consul 1.8.7, as seen."""

from typing import Any

import pytest
from twisted.internet.defer import succeed

from consulpy.codec.msgpack import pack
from consulpy.errors import NoPathToDatacenter, RPCError
from consulpy.rpc.methods import METHODS
from consulpy.serf.members import Member, Status
from consulpy.structs.keyring import KeyringReply, KeyringResponse
from tests.fakes.endpoints import Pool, Server
from tests.fakes.keys import KEY
from tests.harness.guarded import MASTER, GuardedHarness

NAME = "Internal.KeyringOperation"


def member(name: str, datacenter: str, status: Status = Status.ALIVE) -> Member:
    tags = {"role": "consul", "dc": datacenter}
    return Member(name=f"{name}.{datacenter}", address="127.0.0.1", tags=tags, status=status)


@pytest.fixture
def server() -> Server:
    made = Server()
    made.wan = Pool(member("s1", "dc1"), member("t1", "dc3"), member("u1", "dc2"), member("u2", "dc2"))
    made.elsewhere = {
        each: KeyringReply([KeyringResponse(datacenter=each, keys={KEY: 1}, num_nodes=1)]) for each in ("dc2", "dc3")
    }
    return made


def pools(server: Server) -> list[tuple[str, str, int]]:
    assert server.wan is not None
    assert server.lan is not None
    return [*server.wan.keys.done, *server.lan.keys.done]


def test_a_list_has_the_wan_then_each_datacenter(server: Server) -> None:
    reply = server.call(NAME, {"Datacenter": "dc1", "Operation": "list", "RelayFactor": 3, "Token": "t"})
    assert [(each.wan, each.datacenter, each.num_nodes) for each in reply.responses] == [
        (True, "dc1", 2), (False, "dc1", 2), (False, "dc2", 1), (False, "dc3", 1)
    ]  # fmt: skip
    assert pools(server) == [("list", "", 3)] * 2
    assert [(where, name) for where, name, _ in server.forwarded] == [("dc2", NAME), ("dc3", NAME)]
    for _, _, request in server.forwarded:
        assert (request.forwarded, request.origin, request.relay_factor, request.options.token) == (True, "dc1", 3, "t")


def test_a_call_of_another_datacenter_is_for_the_lan_pool_here_and_goes_no_further(server: Server) -> None:
    """Real servers name their own datacenter in it, so that one that forwards by that field would send it back."""
    reply = server.call(NAME, {"Datacenter": "dc2", "Forwarded": True, "Operation": "install", "Key": KEY})
    assert [(each.wan, each.datacenter) for each in reply.responses] == [(False, "dc1")]
    assert (pools(server), server.forwarded) == ([("install", KEY, 0)], [])
    assert getattr(METHODS[NAME].request.unpack(pack({"Datacenter": "dc2"})), "datacenter", None) is None


def test_a_local_list_is_that_of_the_lan_pool(server: Server) -> None:
    reply = server.call(NAME, {"Datacenter": "dc1", "LocalOnly": True, "Operation": "list"})
    assert [each.wan for each in reply.responses] == [False]
    assert server.forwarded == []


def test_what_fails_in_a_pool_is_in_its_result(server: Server) -> None:
    assert server.lan is not None
    server.lan.keys.failures = {"b": "no", "a": ""}
    wan, lan, *_ = server.call(NAME, {"Operation": "use", "Key": KEY}).responses
    assert (wan.errors(), lan.errors()) == ([], ["dc1 (LAN) error: 2/2 nodes reported failure", "a: ", "b: no"])
    wan, lan, *_ = server.call(NAME, {"Operation": "remove", "Key": "!"}).responses
    assert wan.errors() == ["WAN error: illegal base64 data at input byte 0"]
    assert pools(server)[-1][0] == "use", "no member is asked"


def test_a_datacenter_that_is_out_of_reach_fails_it_and_one_that_left_does_not(server: Server) -> None:
    assert server.wan is not None
    server.wan.members["v1.dc4"] = member("v1", "dc4", Status.LEFT)
    server.call(NAME, {"Operation": "list"})
    server.wan.members["v1.dc4"] = member("v1", "dc4", Status.FAILED)
    with pytest.raises(NoPathToDatacenter):
        server.call(NAME, {"Operation": "list"})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"Operation": "steal"}, "Invalid keyring operation"),
        ({"Operation": ""}, "Invalid keyring operation"),
        ({"Operation": "use", "LocalOnly": True}, "LocalOnly can only be used for List"),
        ({"Operation": "list", "RelayFactor": 255}, r"must be in range: \[0, 5\]"),
    ],
)
def test_what_means_nothing_is_refused(server: Server, body: dict[str, Any], text: str) -> None:
    with pytest.raises(RPCError, match=text):
        server.call(NAME, body)
    assert pools(server) == []


@pytest.mark.parametrize("operation", ["list", "install", "use", "remove"])
def test_the_right_is_checked_in_each_datacenter(operation: str) -> None:
    """keyring:read for a list, keyring:write for changes, also of what another datacenter passes on."""
    harness = GuardedHarness()
    tokens = {level: harness.token(f'keyring = "{level}"') for level in ("deny", "read", "write")}

    def result(secret: str) -> str:
        body = {"Datacenter": "dc2", "Forwarded": True, "Operation": operation, "Key": KEY, "Token": secret}
        seen: list[Any] = []
        method = METHODS[NAME]
        harness.agent.server.handle(method, method.request.unpack(pack(body))).addBoth(seen.append)
        (found,) = seen
        return "done" if isinstance(found, KeyringReply) else found.getErrorMessage()

    refused = {"list": "Reading keyring denied by ACLs"}.get(operation, "Modifying keyring denied due to ACLs")
    assert result("") == result(tokens["deny"]) == refused
    assert result(tokens["read"]) == ("done" if operation == "list" else refused)
    assert result(tokens["write"]) == result(MASTER) == "done"
    assert result("cf000000-0000-0000-0000-0000000000ff") == "ACL not found"


def test_a_refusal_over_http_says_what_was_missing() -> None:
    harness = GuardedHarness()
    token = harness.token('key "a" { policy = "read" }')
    answer = harness.ask("GET /v1/operator/keyring", X_Consul_Token=token, User_Agent="test")
    assert (answer.status, answer.text) == (500, "Reading keyring denied by ACLs")
    assert answer.headers["x-consulpy-denied"].endswith(", keyring:read")


def test_a_local_token_does_not_leave_its_datacenter() -> None:
    harness = GuardedHarness()
    local = harness.token('keyring = "read"', Local=True)
    sent: list[tuple[str, str]] = []

    class Elsewhere:
        def call(self, datacenter: str, method: Any, request: Any) -> Any:
            sent.append((datacenter, request.options.token))
            return succeed(KeyringReply([]))

    harness.agent.server.remote_datacenters = Elsewhere()
    harness.agent.wan.members["t1.dc2"] = member("t1", "dc2")
    for secret in (local, MASTER):
        assert harness.as_(secret, "GET /v1/operator/keyring").status == 200
    assert sent == [("dc2", ""), ("dc2", MASTER)]
