"""`auto_encrypt` of a client: which servers are asked, and what is used once a certificate or the roots change."""

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from consulpy.agent.features.auto_encrypt import AutoEncryptClient, agent_names, servers_of
from consulpy.config.flags import read_flags
from consulpy.config.load import read
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError, RPCError
from consulpy.gocompat.time import go_time
from consulpy.local.leaf_certificates import AgentNames, LeafResult
from consulpy.structs.connect_ca import CARoot, CARootsReply, IssuedCert, SignedReply
from consulpy.structs.options import QueryMeta
from tests.fakes.config import FakeHost


def config(text: str = 'retry_join = ["10.0.0.1"]', names: str = "") -> RuntimeConfig:
    """`names`: keys of `auto_encrypt`."""
    flags = ["-data-dir", "/x", "-node", "n", "-hcl", f"auto_encrypt {{ tls = true {names} }} {text}"]
    return read(read_flags(flags), FakeHost())


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ('retry_join = ["10.0.0.1", "10.0.0.2:8301"]', ["10.0.0.1", "10.0.0.2"]),
        ('start_join = ["a.example"] retry_join = ["a.example"]', ["a.example"]),
        ('retry_join = ["[::1]:8301", "fe80::1"]', ["::1", "fe80::1"]),
    ],
)
def test_the_servers_to_join_are_asked_on_their_own_port(text: str, hosts: list[str]) -> None:
    assert servers_of(config(text)) == hosts


def test_without_any_the_start_is_refused() -> None:
    with pytest.raises(ConfigError, match="which servers to ask is not known"):
        servers_of(config(""))


def test_the_certificate_is_for_this_host_and_what_is_configured() -> None:
    found = config(names='dns_san = ["n.example"] ip_san = ["10.0.0.9"]')
    assert agent_names(found) == AgentNames("n", ("localhost", "n.example"), ("127.0.0.1", "::1", "10.0.0.9"))


NOW_S = 1_800_000_000.0


class FakeTls:
    def __init__(self) -> None:
        self.used: list[tuple[str, list[str]]] = []

    def use_issued(self, issued: Any, trusted: list[str]) -> None:
        self.used.append((issued.certificate, list(trusted)))


class FakeLeafs:
    """Gives the agent's certificate when it is told to."""

    def __init__(self) -> None:
        self.seeded: list[IssuedCert] = []
        self.waiting: list[Deferred[LeafResult]] = []

    def seed(self, datacenter: str, names: AgentNames, leaf: IssuedCert, token: str) -> None:
        self.seeded.append(leaf)

    async def read_agent(self, datacenter: str, names: AgentNames, token: str, **rest: Any) -> LeafResult:
        waiting: Deferred[LeafResult] = Deferred()
        self.waiting.append(waiting)
        return await waiting

    def renew(self, leaf: IssuedCert) -> None:
        self.waiting.pop().callback(LeafResult(leaf, hit=True))


class Laboratory:
    def __init__(self) -> None:
        self.clock: Any = Clock()
        self.wall_s = NOW_S
        self.clock.wall_s = lambda: self.wall_s
        self.tls, self.leafs = FakeTls(), FakeLeafs()
        tls: Any = self.tls
        self.client = AutoEncryptClient(config(), self.clock, Random(1), tls, lambda: "token")
        self.roots = ["root"]
        self.index = 5
        self.waiting: list[Deferred[CARootsReply]] = []
        self.client.adopt(SignedReply(leaf(1), self._reply(), ["manual"]), "key")
        leafs: Any = self.leafs
        self.client.follow(leafs, self._read)

    def _reply(self) -> CARootsReply:
        return CARootsReply(QueryMeta(index=self.index), "", "a.consul", [CARoot(root_cert=pem) for pem in self.roots])

    def _read(self, datacenter: str, index: int) -> "Deferred[CARootsReply]":
        if index < self.index:
            return succeed(self._reply())
        waiting: Deferred[CARootsReply] = Deferred()
        self.waiting.append(waiting)
        return waiting

    def rotate(self, *roots: str) -> None:
        self.roots, self.index = list(roots), self.index + 1
        self.waiting.pop().callback(self._reply())


def leaf(number: int) -> IssuedCert:
    return IssuedCert(
        cert_pem=f"cert {number}",
        private_key_pem=f"key {number}",
        modify_index=number,
        valid_before=go_time(NOW_S + 100 * number),
    )


def test_the_first_certificate_is_used_with_all_that_came_with_it() -> None:
    lab = Laboratory()
    assert lab.tls.used[0] == ("cert 1", ["root", "manual"])
    assert [each.private_key_pem for each in lab.leafs.seeded] == ["key"]


def test_a_renewed_one_takes_its_place() -> None:
    lab = Laboratory()
    lab.leafs.renew(leaf(2))
    assert lab.tls.used[-1] == ("cert 2", ["root", "manual"])
    lab.leafs.renew(leaf(2))  # the same after a wait
    lab.leafs.renew(leaf(3))
    assert [certificate for certificate, _ in lab.tls.used if certificate != "cert 1"] == ["cert 2", "cert 3"]


def test_one_that_has_ended_is_asked_for_as_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server lets it in any longer, to renew it: the machine slept, or no server could be reached for days."""
    lab = Laboratory()

    async def obtain() -> None:
        lab.client.adopt(SignedReply(leaf(5), lab._reply(), ["manual"]), "new key")

    monkeypatch.setattr(lab.client, "obtain", obtain)
    lab.leafs.waiting.pop().errback(RPCError("rpc error making call: EOF"))
    lab.clock.advance(1)
    assert len(lab.leafs.waiting) == 1, "a failure alone is none to do it for"
    assert lab.tls.used[-1][0] == "cert 1"
    lab.wall_s = NOW_S + 101
    lab.leafs.waiting.pop().errback(RPCError("rpc error making call: EOF"))
    lab.clock.advance(10)
    assert lab.tls.used[-1] == ("cert 5", ["root", "manual"])
    assert [each.modify_index for each in lab.leafs.seeded] == [1, 5]
    lab.leafs.renew(leaf(6))
    assert lab.tls.used[-1][0] == "cert 6"


def test_new_roots_are_trusted_beside_the_manual_ones() -> None:
    lab = Laboratory()
    lab.rotate("root", "new root")
    assert lab.tls.used[-1] == ("cert 1", ["root", "new root", "manual"])


def test_stopping_ends_both() -> None:
    lab = Laboratory()
    lab.client.stop()
    assert not lab.clock.getDelayedCalls()
    assert all(waiting.called for waiting in (*lab.waiting, *lab.leafs.waiting))
