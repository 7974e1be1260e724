"""The probe cycle, and what others' probing asks of us (docs/wire/gossip.md 5.6, 2.3, 2.6, 4.2)."""

from typing import Any

import pytest

from consulpy.memberlist.member import State
from consulpy.memberlist.messages import Ack, Alive, Dead, IndirectPing, Message, Nack, Ping, Suspect
from consulpy.memberlist.probe import Prober
from tests.harness.memberlist import PEER, VSN, LoneMemberlist

HELPERS = [(f"127.10.0.{number + 10}", 8301) for number in range(3, 6)]


def probing(helpers: bool = True, **changes: Any) -> tuple[LoneMemberlist, Ping]:
    """A memberlist that has just pinged n2; n3, n4 and n5 are there to help."""
    lone = LoneMemberlist(gossip_nodes=0, push_pull_interval_s=1e9, **changes)
    lone.knows("n2")
    for number in range(3, 6) if helpers else ():
        lone.knows(f"n{number}", address=f"127.10.0.{number + 10}")
    for _ in range(40):
        lone.clock.advance(0.05)
        for to, message in lone.sent():
            if isinstance(message, Ping) and to == PEER:
                return lone, message
            if isinstance(message, Ping):
                lone.get(Ack(message.seq_no))
    raise AssertionError("n2 was never probed")


def kinds(sent: list[tuple[Any, Message]], kind: type) -> list[tuple[Any, Any]]:
    return [(to, message) for to, message in sent if isinstance(message, kind)]


class TestProbing:
    def test_the_ping_says_who_asks(self) -> None:
        _, ping = probing()
        assert (ping.node, ping.source_address, ping.source_port, ping.source_node) == ("n2", "127.10.0.2", 8301, "c1")

    def test_an_ack_in_time_gives_the_round_trip(self) -> None:
        lone, ping = probing()
        lone.clock.advance(0.2)
        lone.get(Ack(ping.seq_no, b"coordinate"))
        [(name, rtt_s, payload)] = [each for each in lone.delegate.round_trips if each[0] == "n2"]
        assert (name, payload) == ("n2", b"coordinate")
        assert 0.2 <= rtt_s <= 0.26
        lone.clock.advance(1)
        assert kinds(lone.sent(), IndirectPing) == []

    def test_after_the_timeout_others_are_asked_and_tcp_is_tried(self) -> None:
        lone, ping = probing()
        lone.clock.advance(0.5)
        asked = kinds(lone.sent(), IndirectPing)
        assert sorted(to for to, _ in asked) == HELPERS
        assert all(each.seq_no == ping.seq_no and each.nack and each.target == PEER[0] for _, each in asked)
        [exchange] = lone.wire.exchanges
        assert exchange.destination == PEER
        assert exchange.timeout_s == pytest.approx(0.5, abs=0.06)

    def test_an_indirect_ack_is_enough_but_gives_no_round_trip(self) -> None:
        lone, ping = probing()
        lone.clock.advance(0.6)
        lone.get(Ack(ping.seq_no), source=HELPERS[0])
        lone.clock.advance(1)
        assert lone.memberlist.members.by_name["n2"].state is State.ALIVE
        assert [each for each in lone.delegate.round_trips if each[0] == "n2"] == []

    def test_an_answer_by_tcp_is_enough_but_a_warning(self) -> None:
        lone, ping = probing()
        lone.clock.advance(0.6)
        [exchange] = lone.wire.exchanges
        assert exchange.reader.feed(Ack(ping.seq_no).encode())
        exchange.done(None)
        lone.clock.advance(0.6)
        assert lone.memberlist.members.by_name["n2"].state is State.ALIVE
        assert any("Was able to connect to n2 but other probes failed" in line for line in lone.log)

    def test_silence_is_suspicious(self) -> None:
        lone, _ = probing()
        lone.clock.advance(1.1)
        assert lone.memberlist.members.by_name["n2"].state is State.SUSPECT
        suspicions = [event for event in lone.memberlist.timeline.of("n2") if event.what == "suspected"]
        assert [(event.peer, event.detail[:16]) for event in suspicions] == [("c1", "no ack to a ping")]

    @pytest.mark.parametrize(
        ("helpers", "nacks", "told"),
        [
            (False, 0, "nobody else to ask"),
            (True, 0, "no answer of 3 helpers"),
            (True, 1, "1 of 3 helpers got none either, no answer of the others"),
            (True, 3, "3 helpers got none either"),
        ],
    )
    def test_a_suspicion_tells_what_the_helpers_said(self, helpers: bool, nacks: int, told: str) -> None:
        lone, ping = probing(helpers=helpers)
        lone.clock.advance(0.6)
        for helper in HELPERS[:nacks]:
            lone.get(Nack(ping.seq_no), source=helper)
        lone.clock.advance(0.5)
        suspicions = [event for event in lone.memberlist.timeline.of("n2") if event.what == "suspected"]
        assert [event.detail for event in suspicions] == [f"no ack to a ping, {told}, no answer by TCP"]

    def test_a_suspect_is_told_with_the_next_ping(self) -> None:
        lone, _ = probing(helpers=False)
        lone.clock.advance(1.1)
        to_n2 = [message for to, message in lone.sent() if to == PEER]
        assert [type(message) for message in to_n2[:2]] == [Ping, Suspect]
        assert to_n2[1] == Suspect(1, "n2", "c1")

    def test_a_suspect_is_asked_before_it_is_declared_dead(self) -> None:
        """Its refutation may have been lost: a push/pull with itself fetches that, if it acks."""
        lone, _ = probing(
            helpers=False, tcp_pings=False, probe_interval_s=1, suspicion_mult=20, suspicion_max_timeout_mult=1
        )
        lone.clock.advance(1.1)
        lone.memberlist.members.probe_order.clear()  # no probe in turn any more
        lone.clock.advance(16)
        lone.sent()
        lone.clock.advance(3)
        pings = kinds(lone.sent(), Ping)
        assert [(to, ping.node) for to, ping in pings] == [(PEER, "n2")] * 2
        assert lone.wire.exchanges == []
        ping = pings[-1][1]
        lone.get(Ack(ping.seq_no))
        [exchange] = lone.wire.exchanges
        assert exchange.destination == PEER

    def test_a_suspect_that_does_not_answer_is_dead_in_time(self) -> None:
        lone, _ = probing(
            helpers=False, tcp_pings=False, probe_interval_s=1, suspicion_mult=20, suspicion_max_timeout_mult=1
        )
        lone.clock.advance(1.1)
        began_s = lone.memberlist.members.by_name["n2"].changed_s
        lone.clock.advance(began_s + 19.9 - lone.clock.seconds())
        assert lone.memberlist.members.by_name["n2"].state is State.SUSPECT
        lone.clock.advance(0.1)
        assert lone.memberlist.members.by_name["n2"].state is State.DEAD
        assert lone.wire.exchanges == []

    def test_a_packet_that_can_not_be_sent_is_no_answer_at_once(self) -> None:
        lone = LoneMemberlist(gossip_nodes=0, push_pull_interval_s=1e9)
        lone.knows("n2")
        lone.wire.broken = True
        lone.clock.advance(2.1)
        assert lone.memberlist.members.by_name["n2"].state is State.SUSPECT
        assert lone.wire.exchanges

    def test_a_failed_probe_costs_one_interval_only(self) -> None:
        lone, ping = probing(helpers=False, awareness_max_multiplier=1, suspicion_mult=40)
        lone.clock.advance(3.05)
        later = [each for _, each in kinds(lone.sent(), Ping)]
        assert [each.seq_no - ping.seq_no for each in later] == [1, 2, 3]

    def test_the_dead_are_not_probed(self) -> None:
        lone, _ = probing(helpers=False)
        lone.get(Dead(1, "n2", "n3"))
        lone.clock.advance(2)
        lone.sent()
        lone.clock.advance(10)
        assert kinds(lone.sent(), Ping) == []


class TestLocalHealth:
    def test_missing_nacks_say_that_the_fault_is_ours(self) -> None:
        lone, ping = probing()
        lone.clock.advance(0.6)
        lone.get(Nack(ping.seq_no), source=HELPERS[0])
        lone.clock.advance(0.5)
        assert lone.memberlist.health_score == 2, "two of three nacks are missing"

    def test_all_nacks_say_that_it_is_not(self) -> None:
        lone, ping = probing()
        lone.clock.advance(0.6)
        for helper in HELPERS:
            lone.get(Nack(ping.seq_no), source=helper)
        lone.clock.advance(0.5)
        assert lone.memberlist.health_score == 0
        assert lone.memberlist.members.by_name["n2"].state is State.SUSPECT

    def test_with_nobody_to_ask_a_failure_counts_one(self) -> None:
        lone, _ = probing(helpers=False)
        lone.clock.advance(1.1)
        assert lone.memberlist.health_score == 1

    def test_doubt_makes_probes_last_longer_and_good_ones_end_it(self) -> None:
        lone, ping = probing(helpers=False)
        lone.get(Ack(ping.seq_no))
        lone.get(Suspect(1, "c1", "n2"))
        assert lone.memberlist.health_score == 1
        lone.clock.advance(1)
        [(_, ping)] = kinds(lone.sent(), Ping)
        lone.clock.advance(1.5)
        lone.get(Ack(ping.seq_no))
        assert lone.memberlist.health_score == 0, "late by a usual interval, but within a doubled one"


class TestBeingAsked:
    def test_the_answer_goes_where_a_member_says(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.delegate.payload = b"coordinate"
        lone.get(Ping(5, "c1", PEER[0], 9999, "n2"), source=("127.0.0.1", 4))
        assert lone.sent() == [((PEER[0], 9999), Ack(5, b"coordinate"))]

    def test_but_never_where_a_stranger_points(self) -> None:
        lone = LoneMemberlist()
        lone.get(Ping(5, "c1", "10.9.9.9", 53, "x"), source=("127.0.0.1", 4))
        assert lone.sent() == [(("127.0.0.1", 4), Ack(5))]
        lone.get(IndirectPing(6, "10.9.9.9", 53, "x", True), source=("127.0.0.1", 4))
        lone.clock.advance(1)
        assert lone.sent() == []

    def test_a_ping_for_another_name_is_not_answered(self) -> None:
        lone = LoneMemberlist()
        lone.get(Ping(5, "other"))
        assert lone.sent() == []
        assert "takes us for other" in lone.log[0]

    def test_a_relayed_ack_comes_without_payload(self) -> None:
        lone = LoneMemberlist()
        lone.knows("n2")
        lone.get(IndirectPing(40, PEER[0], PEER[1], "n2", True, "127.10.0.2", 7), source=("127.10.0.2", 7))
        [(to, ping)] = lone.sent()
        assert to == PEER
        assert isinstance(ping, Ping)
        lone.get(Ack(ping.seq_no, b"coordinate"))
        assert lone.sent() == [(("127.10.0.2", 7), Ack(40))]
        lone.clock.advance(0.6)
        assert kinds(lone.sent(), Nack) == []


class TestPackets:
    def test_a_crc_only_for_members_that_understand_it(self) -> None:
        lone = LoneMemberlist(compression=False)
        lone.knows("n2")
        new = lone.memberlist.members.by_name["n2"]
        lone.memberlist.outgoing.send(PEER, Ack(1).encode(), new)
        lone.memberlist.outgoing.send(PEER, Ack(1).encode())
        new.vsn = (1, 4, 2, 2, 5, 4)
        lone.memberlist.outgoing.send(PEER, Ack(1).encode(), new)
        assert [data[0] for _, data in lone.wire.packets] == [12, 2, 2]

    def test_gossip_rides_on_other_packets_as_far_as_it_fits(self) -> None:
        lone = LoneMemberlist(compression=False)
        for number in range(100):
            lone.get(Alive(1, f"node-{number}", f"127.10.1.{number}", 8301, b"m" * 40, VSN))
        lone.get(Ping(1, "c1"))
        [(_, data)] = lone.wire.packets
        assert 1200 < len(data) <= 1400
        messages = lone.sent()
        assert isinstance(messages[0][1], Ack)
        assert len(messages) > 8

    def test_user_messages_use_what_room_is_left(self) -> None:
        lone = LoneMemberlist()
        lone.delegate.broadcasts = [b"event 1", b"x" * 1390, b"event 3"]
        lone.get(Ping(1, "c1"))
        parts = list(lone.memberlist.sealer.open(lone.wire.packets[0][1]))
        assert parts == [Ack(1).encode(), b"\x08event 1"]

    def test_an_ack_is_not_compressed(self) -> None:
        lone = LoneMemberlist()
        lone.get(Ping(1, "c1"))
        assert lone.wire.packets == [(PEER, Ack(1).encode())]

    def test_gossip_goes_to_the_dead_for_a_while_but_not_to_who_left(self) -> None:
        lone = LoneMemberlist(probe_interval_s=1e9, push_pull_interval_s=1e9)
        lone.knows("n2", address="127.10.0.12")
        lone.knows("n3", address="127.10.0.13")
        lone.get(Dead(1, "n2", "n9"), Dead(1, "n3", "n3"))
        lone.clock.advance(5)
        assert {to for to, _ in lone.sent()} == {("127.10.0.12", 8301)}


def test_sequence_numbers_wrap_at_32_bits() -> None:
    lone = LoneMemberlist()
    prober: Prober = lone.memberlist._prober
    prober._seq_no = 2**32 - 1
    assert prober._new_seq_no() == 0
