"""Leaf certificates at the agent: shared, renewed ahead, and after a new root (docs/wire/connect.md)."""

from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from consulpy.connect import certificates
from consulpy.connect.certificates import Signer
from consulpy.connect.keys import make_key, read_key
from consulpy.connect.spiffe import ServiceId
from consulpy.errors import RPCError
from consulpy.gocompat.time import go_time
from consulpy.local.leaf_certificates import IDLE_S, LOOK_S, LeafCertificates
from consulpy.structs.connect_ca import CARootsReply, CASignRequest, IssuedCert
from consulpy.structs.options import QueryMeta
from tests.unit.connect.test_own_roots import own_root

HOST = "98359594-3fd1-a06d-86e5-dbcf064a22fd.consul"
NOW_S = 1_800_000_000.0
LIFE_S = 72 * 3600.0


class Servers:
    """Servers that sign, with a root that can be changed."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.index = 100
        #: Their wall clock, compared with the start and the timers.
        self.ahead_s = 0.0
        self.signed: list[CASignRequest] = []
        self.failing: RPCError | None = None
        self.waiting: list[Deferred[CARootsReply]] = []
        #: Replies that are held back, if it is a list.
        self.held: list[tuple[Deferred[Any], IssuedCert]] | None = None
        self.rotate()

    def rotate(self) -> None:
        """Make another root the active one, and tell all who wait."""
        key = make_key()
        pem = certificates.make_root(key, 7, "pri-a.consul.ca.98359594.consul", f"spiffe://{HOST}", NOW_S)
        self.root = certificates.root_of(pem, "consul", HOST)
        self.signer = Signer(certificates.read_certificate(pem), key)
        self.index += 1
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(self.roots())

    def roots(self) -> CARootsReply:
        return CARootsReply(QueryMeta(index=self.index), self.root.id, HOST, [self.root])

    def read_roots(self, datacenter: str, index: int) -> "Deferred[CARootsReply]":
        if index < self.index:
            return succeed(self.roots())
        waiting: Deferred[CARootsReply] = Deferred()
        self.waiting.append(waiting)
        return waiting

    def call(self, method: str, request: CASignRequest, dependencies: Any = None) -> "Deferred[Any]":
        assert method == "ConnectCA.Sign"
        if self.failing is not None:
            return fail(self.failing)
        self.signed.append(request)
        self.index += 1
        csr = certificates.read_request(request.csr)
        names = certificates.subject_names(csr)
        identity = ServiceId(HOST, "dc1", certificates.uris_of(names)[0].rpartition("/")[2])
        begins_s = NOW_S + self.clock.seconds() + self.ahead_s
        from datetime import timedelta

        pem = certificates.sign_leaf(
            self.signer, csr, names, identity, len(self.signed) + 7, timedelta(seconds=LIFE_S), begins_s
        )
        issued = IssuedCert(
            cert_pem=pem,
            service=identity.service,
            valid_after=go_time(begins_s - 60),
            valid_before=go_time(begins_s - 60 + LIFE_S),
            create_index=self.index,
            modify_index=self.index,
        )
        if self.held is None:
            return succeed(issued)
        later: Deferred[Any] = Deferred()
        self.held.append((later, issued))
        return later


class Laboratory:
    def __init__(self) -> None:
        self.clock = Clock()
        self.servers = Servers(self.clock)
        servers: Any = self.servers
        #: How much the wall clock was set by since the start, in seconds.
        self.set_s = 0.0
        self.leafs = LeafCertificates(
            servers, servers.read_roots, self.clock, lambda: NOW_S + self.clock.seconds() + self.set_s, Random(1)
        )

    def read(self, service: str = "web", token: str = "", **rest: Any) -> "Deferred[Any]":
        return Deferred.fromCoroutine(self.leafs.read("dc1", service, token, **rest))

    def now(self, service: str = "web", **rest: Any) -> Any:
        found: list[Any] = []
        self.read(service, **rest).addBoth(found.append)
        assert found, "it waits"
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return found[0]


@pytest.fixture
def lab() -> Laboratory:
    return Laboratory()


def test_all_who_ask_get_the_same_certificate_with_its_key(lab: Laboratory) -> None:
    first, second = lab.now(), lab.now()
    assert (first.hit, second.hit) == (False, True)
    assert first.leaf == second.leaf
    certificate = certificates.read_certificate(first.leaf.cert_pem)
    assert read_key(first.leaf.private_key_pem).public_key() == certificate.public_key()
    assert len(lab.servers.signed) == 1


def test_each_service_has_its_own(lab: Laboratory) -> None:
    assert lab.now("a").leaf.private_key_pem != lab.now("b").leaf.private_key_pem


def test_the_private_key_never_leaves_the_agent(lab: Laboratory) -> None:
    leaf = lab.now().leaf
    assert "PRIVATE KEY" not in lab.servers.signed[0].csr
    assert leaf.private_key_pem not in repr(leaf)


def test_a_refusal_is_not_kept(lab: Laboratory) -> None:
    lab.servers.failing = RPCError("Permission denied")
    with pytest.raises(RPCError, match="Permission denied"):
        lab.now()
    assert len(lab.leafs) == 0
    lab.servers.failing = None
    assert lab.now().leaf.service == "web"


def test_a_machine_that_slept_renews_within_a_minute(lab: Laboratory) -> None:
    first = lab.now().leaf
    waiting: list[Any] = []
    lab.read(index=first.modify_index).addBoth(waiting.append)
    lab.set_s = lab.servers.ahead_s = 0.95 * LIFE_S
    lab.clock.advance(LOOK_S)
    assert waiting[0].leaf.modify_index > first.modify_index


def test_one_that_has_ended_is_handed_out_to_nobody(lab: Laboratory) -> None:
    first = lab.now().leaf
    lab.set_s = lab.servers.ahead_s = 2 * LIFE_S
    found = lab.now()
    assert (found.hit, found.leaf.modify_index > first.modify_index) == (False, True)
    lab.set_s = lab.servers.ahead_s = 4 * LIFE_S
    lab.servers.failing = RPCError("No cluster leader")
    with pytest.raises(RPCError, match="No cluster leader"):
        lab.now()
    lab.servers.failing = None
    assert lab.now().leaf.modify_index > found.leaf.modify_index


@pytest.mark.parametrize("had_one", [False, True])
def test_a_new_one_that_has_ended_is_a_failure_and_no_reason_to_ask_at_once_again(
    lab: Laboratory, had_one: bool
) -> None:
    """This agent's clock is days ahead of the servers': they are not asked without a pause."""
    if had_one:
        lab.now()
    asked = len(lab.servers.signed)
    lab.set_s = 2 * LIFE_S
    for index in (0, 50):
        with pytest.raises(RPCError, match=r"the certificate of web ended at .* is this clock that of the servers\?"):
            lab.now(index=index)
    assert len(lab.servers.signed) == asked + 2, "once for each who asks"
    lab.clock.pump([1.0] * 300)
    assert len(lab.servers.signed) <= asked + 2 + 12
    lab.set_s = 0.0
    assert lab.now().leaf.service == "web"


def test_a_root_that_changes_while_one_is_asked_for_counts(lab: Laboratory) -> None:
    lab.now("db")  # the roots are watched
    lab.servers.held = []
    reading = lab.read()
    ((later, issued),) = lab.servers.held
    lab.servers.held = None
    lab.servers.rotate()
    later.callback(issued)
    assert reading.called
    lab.clock.pump([1.0] * 31)
    certificate = certificates.read_certificate(lab.now().leaf.cert_pem)
    certificate.verify_directly_issued_by(lab.servers.signer.certificate)
    assert len(lab.servers.signed) == 4, "one more for each service"


def test_one_by_a_root_that_another_program_made_is_not_renewed_for_it(lab: Laboratory) -> None:
    """Such a root names its key by a SHA-1, and its leafs do so: that is no other signer than the active one."""
    signer = own_root("ec", 256, "own")
    lab.servers.signer = signer
    lab.servers.root = certificates.root_of(signer.certificate.public_bytes(Encoding.PEM).decode(), "consul", HOST)
    first = lab.now().leaf
    lab.clock.pump([1.0] * 40)
    assert lab.now().leaf == first
    lab.servers.rotate()
    lab.clock.pump([1.0] * 31)
    assert lab.now().leaf.modify_index > first.modify_index


def test_a_clock_that_is_set_back_delays_no_renewal(lab: Laboratory) -> None:
    first = lab.now().leaf
    lab.set_s = -10 * LIFE_S
    for _ in range(72):
        lab.clock.advance(0.9 * LIFE_S / 72)
        lab.now()
    assert lab.now().leaf.modify_index > first.modify_index


def test_it_is_renewed_between_60_and_90_percent_of_its_life(lab: Laboratory) -> None:
    first = lab.now().leaf
    waiting = lab.read(index=first.modify_index, wait_s=LIFE_S)
    lab.clock.advance(0.59 * LIFE_S)
    assert not waiting.called
    lab.clock.pump([600.0] * int(0.32 * LIFE_S / 600))
    assert waiting.called
    assert lab.now().leaf.modify_index > first.modify_index
    assert lab.now().leaf.private_key_pem != first.private_key_pem


def test_one_that_nobody_reads_is_dropped_instead(lab: Laboratory) -> None:
    lab.now()
    lab.clock.advance(LIFE_S)
    assert len(lab.leafs) == 0
    assert len(lab.servers.signed) == 1
    assert IDLE_S < 0.6 * LIFE_S


def test_a_new_root_brings_a_new_certificate_within_30_seconds(lab: Laboratory) -> None:
    first = lab.now().leaf
    waiting = lab.read(index=first.modify_index, wait_s=60.0)
    lab.servers.rotate()
    assert lab.now().leaf == first  # still valid by the old root
    lab.clock.pump([1.0] * 31)
    assert waiting.called
    certificate = certificates.read_certificate(lab.now().leaf.cert_pem)
    certificate.verify_directly_issued_by(lab.servers.signer.certificate)


def test_a_failed_renewal_is_tried_again_and_the_old_one_stays(lab: Laboratory) -> None:
    first = lab.now().leaf
    waiting = lab.read(index=first.modify_index, wait_s=LIFE_S)
    waiting.addErrback(lambda _: None)
    lab.servers.failing = RPCError("No cluster leader")
    lab.servers.rotate()
    lab.clock.pump([1.0] * 40)
    assert lab.now().leaf == first
    lab.servers.failing = None
    lab.clock.pump([1.0] * 130)
    assert lab.now().leaf.modify_index > first.modify_index


def test_a_wait_without_a_change_ends_with_the_same_certificate(lab: Laboratory) -> None:
    first = lab.now().leaf
    waiting = lab.read(index=first.modify_index, wait_s=1.0)
    lab.clock.advance(1.0)
    found: list[Any] = []
    waiting.addCallback(found.append)
    assert found[0].leaf == first


def test_the_token_of_the_last_reader_signs_the_next_one(lab: Laboratory) -> None:
    lab.now(token="one")
    lab.now(token="two")
    lab.servers.rotate()
    lab.clock.pump([1.0] * 31)
    assert [request.token for request in lab.servers.signed] == ["one", "two"]


def test_stopping_forgets_all(lab: Laboratory) -> None:
    lab.now()
    lab.leafs.close()
    assert len(lab.leafs) == 0
    assert not lab.clock.getDelayedCalls()
