"""Values as StatsD's lines, in datagrams."""

from consulpy.metrics.registry import Registry, Rules
from consulpy.metrics.statsd import LINES_MAX, PACKET_BYTES, StatsdLines


def test_each_kind_has_its_letter_and_labels_are_parts_of_the_name() -> None:
    lines = StatsdLines()
    lines.add("c", "consul.client.rpc", (), 2)
    lines.add("g", "consul.raft.last_index", (), 17)
    lines.add("ms", "consul.fsm.kvs", (("op", "set"),), 0.25)
    assert lines.flush() == [
        b"consul.client.rpc:2.000000|c\nconsul.raft.last_index:17.000000|g\nconsul.fsm.kvs.set:0.250000|ms\n"
    ]
    assert lines.flush() == []


def test_a_dogstatsd_gets_tags() -> None:
    lines = StatsdLines(tagged=True, tags=["env:test"])
    lines.add("c", "consul.health.service.query", (("service", "web"),), 1)
    assert lines.flush() == [b"consul.health.service.query:1.000000|c|#env:test,service:web\n"]


def test_what_separates_values_cannot_come_in_a_name() -> None:
    lines = StatsdLines()
    lines.add("c", "consul.serf.events.a:b|c\nd", (), 1)
    assert lines.flush() == [b"consul.serf.events.a_b_c_d:1.000000|c\n"]


def test_datagrams_are_no_larger_than_a_packet() -> None:
    lines = StatsdLines()
    for number in range(200):
        lines.add("c", f"consul.name{number:04}", (), 1)
    packets = lines.flush()
    assert all(len(packet) <= PACKET_BYTES and packet.endswith(b"\n") for packet in packets)
    assert b"".join(packets).count(b"\n") == 200


def test_what_is_not_sent_soon_is_dropped_and_counted() -> None:
    lines = StatsdLines()
    for _ in range(LINES_MAX + 5):
        lines.add("c", "consul.x", (), 1)
    assert lines.dropped == 5


def test_a_registry_tells_its_sinks_what_its_rules_let_through() -> None:
    rules = Rules("agent", hostname="host", allowed=("agent.serf.queue",), blocked=("agent.serf",))
    registry = Registry(lambda: 0.0, rules)
    lines = StatsdLines()
    registry.sinks.append(lines)
    registry.incr("serf.events")
    registry.sample("serf.queue.Event", 3)
    registry.incr("rpc.request")
    registry.watch("raft.last_index", lambda: 4.0)
    registry.tick()
    assert b"".join(lines.flush()).splitlines() == [
        b"agent.serf.queue.Event:3.000000|ms",
        b"agent.rpc.request:1.000000|c",
        b"agent.host.raft.last_index:4.000000|g",
    ]
