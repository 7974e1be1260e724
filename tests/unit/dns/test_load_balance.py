"""Answers joined from records that are encoded once: the same packets that all records encoded together give."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns

from consulpy.dns import answer as answers
from consulpy.dns.config import DnsConfig
from consulpy.dns.load_balance import ShuffledAnswer
from consulpy.dns.recursor import Recursor
from consulpy.dns.resolve import Resolver
from consulpy.dns.wire import decode, encode
from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, NodeService, Weights
from tests.fakes.caller import FakeCaller
from tests.harness import catalog
from tests.harness.effort import cases

TTL = 7
NAMES = ["a", "node-1", "a-node-of-which-the-name-is-long", "dc1", "web"]
METAS = [{}, {"consul-network-segment": ""}, {"os": "linux", "rfc1035-note": "x" * 300}]
INSTANCES = st.builds(
    lambda node, number, address, port, weight, meta: CheckServiceNode(
        node=Node(node=node, address=f"10.1.0.{number}", datacenter="dc1", meta=meta),
        service=NodeService(service="web", address=address, port=port, weights=weight),
        checks=[],
    ),
    st.sampled_from(NAMES),
    st.integers(1, 3),
    st.sampled_from(["", "", "10.2.0.1", "fd00::1"]),
    st.integers(1, 200),
    st.sampled_from([None, Weights(passing=5, warning=1)]),
    st.sampled_from(METAS),
)
CONFIGS = st.builds(
    DnsConfig,
    disable_compression=st.booleans(),
    enable_truncate=st.booleans(),
    node_meta_txt=st.booleans(),
    udp_answer_limit=st.integers(1, 10),
    a_record_limit=st.integers(0, 5),
)
ASKED = ["web.service.consul", "WEB.service.dc1.consul", "_web._tcp.service.consul"]


def instance(number: int, address: str = "") -> CheckServiceNode:
    node = Node(node=f"node-{number}", address=f"10.9.{number // 250}.{number % 250 + 1}", datacenter="dc1")
    return CheckServiceNode(node=node, service=NodeService(service="web", address=address, port=80), checks=[])


def shuffled(
    packet: bytes, rows: list[CheckServiceNode], config: DnsConfig | None = None, *, udp: bool = True
) -> ShuffledAnswer:
    return ShuffledAnswer(decode(packet), rows, config or DnsConfig(), TTL, Random(1), udp=udp)


def by_full_path(packet: bytes, rows: list[CheckServiceNode], config: DnsConfig, *, udp: bool) -> bytes:
    """The packet of the full path for instances in this order."""
    rng, question = Random(1), decode(packet)
    resolver = Resolver(config, FakeCaller("10.0.0.1", []), Clock().seconds, rng, Recursor(None, rng), lambda _: None)  # type: ignore[arg-type]
    made: list[Any] = []
    Deferred.fromCoroutine(resolver._records(question, rows, TTL, udp)).addBoth(made.append)
    return encode(question, made[0], compress=not config.disable_compression)


@settings(max_examples=cases(300), deadline=None)
@given(
    st.lists(INSTANCES, min_size=1, max_size=60),
    CONFIGS,
    st.sampled_from(ASKED),
    st.sampled_from([dns.A, dns.AAAA, dns.SRV, dns.SRV, dns.TXT, dns.ALL_RECORDS]),
    st.sampled_from([0, 512, 513, 700, 1232, 4096]),
    st.booleans(),
    st.integers(0, 1 << 32),
)
def test_the_packet_equals_that_of_the_full_path(
    rows: list[CheckServiceNode], config: DnsConfig, name: str, kind: int, size: int, udp: bool, seed: int
) -> None:
    packet = catalog.packet(name, kind, size)
    made = ShuffledAnswer(decode(packet), rows, config, TTL, Random(seed), udp=udp)
    if not made.count:
        return

    for _ in range(3):  # the first encodes the instances, the others join them
        order = made.order()
        drawn = [made._rows[number] for number in order]
        others = [row for row in rows if not any(row is each for each in drawn)]

        assert made.packet(order) == by_full_path(packet, drawn + others, config, udp=udp)


@pytest.mark.parametrize("address", ["", "10.2.0.1"])
def test_over_tcp_pointers_stay_in_reach(address: str) -> None:
    """With many instances the last targets are beyond the reach of a pointer."""
    rows = [instance(number, address) for number in range(400)]
    packet = catalog.packet("web.service.consul", dns.SRV)
    made = shuffled(packet, rows, udp=False)
    order = made.order()

    answer = made.packet(order)

    assert len(answer) > 0x4000
    assert answer == by_full_path(packet, [rows[number] for number in order], DnsConfig(), udp=False)


def test_records_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encodings: Counter[bytes] = Counter()
    plain = answers.srv_group

    def counted(*given: Any) -> Any:
        group = plain(*given)
        encodings[group.record.payload.target.name] += 1
        return group

    monkeypatch.setattr(answers, "srv_group", counted)
    made = shuffled(catalog.packet("web.service.consul", dns.SRV, 4096), [instance(number) for number in range(100)])

    drawn = {made.shuffle() for _ in range(20)}

    assert len(drawn) == 20
    assert len(encodings) == 100
    assert set(encodings.values()) == {1}


@pytest.mark.parametrize(("kind", "size"), [(dns.A, 0), (dns.SRV, 0), (dns.SRV, 4096)])
def test_every_instance_comes_first_equally_often(kind: int, size: int) -> None:
    """Of few choices too: by mere chance one of five would never be first among the sixteen that are shown in turn."""
    made = shuffled(catalog.packet("web.service.consul", kind, size), [instance(number) for number in range(10)])

    turns = [{made.order()[0] for _ in range(10)} for _ in range(20)]

    assert turns == [set(range(10))] * 20


def test_the_order_after_the_first_is_random() -> None:
    made = shuffled(catalog.packet("web.service.consul", dns.A), [instance(number) for number in range(10)])

    seconds = Counter(made.order()[1] for _ in range(5000))

    assert len(seconds) == 10
    assert all(400 < times < 600 for times in seconds.values())  # 500 each, within 4.7 standard deviations


def test_an_address_of_two_instances_comes_first_twice_as_often() -> None:
    rows = [instance(number, address) for number, address in enumerate(("10.2.0.1", "10.2.0.1", "10.2.0.2"))]
    made = shuffled(catalog.packet("web.service.consul", dns.A), rows)

    firsts = Counter(answers.address_of(rows[made.order()[0]]) for _ in range(3000))

    assert made.count == 2
    assert firsts == {"10.2.0.1": 2000, "10.2.0.2": 1000}


def test_with_a_record_limit_answers_still_vary() -> None:
    """With `a_record_limit` 1 it must not be cached as one instance only: all clients would use that one."""
    config = DnsConfig(a_record_limit=1, enable_truncate=True)
    made = shuffled(catalog.packet("web.service.consul", dns.A), [instance(number) for number in range(5)], config)

    answers_of_five = {made.shuffle() for _ in range(5)}

    assert made.count == 5
    assert len(answers_of_five) == 5
    assert {(packet[7], packet[2] & 2) for packet in answers_of_five} == {(1, 0)}  # one record, nothing cut off


def test_an_answer_may_have_exactly_the_payload_size() -> None:
    rows = [instance(number) for number in range(10)]
    whole = shuffled(catalog.packet("web.service.consul", dns.SRV, 4096), rows).shuffle()

    exactly, less = (
        shuffled(catalog.packet("web.service.consul", dns.SRV, size), rows).shuffle()
        for size in (len(whole), len(whole) - 1)
    )

    assert len(exactly) == len(whole)
    assert (exactly[7], less[7]) == (10, 9)  # the header's count of answers


def test_node_metadata_of_a_target_with_another_name() -> None:
    rows = [instance(number, f"10.2.0.{number + 1}") for number in range(5)]
    for row in rows:
        assert row.node is not None
        row.node.meta = {"os": "linux", "zone": "a"}
    packet = catalog.packet("web.service.consul", dns.SRV, 4096)
    made = shuffled(packet, rows)
    order = made.order()

    answer = made.packet(order)

    assert answer[11] == 5 * 3 + 1  # an address and two texts for each, and the OPT record
    assert answer == by_full_path(packet, [rows[number] for number in order], DnsConfig(), udp=True)
