"""`/v1/agent/metrics`: Consul's JSON, the last whole interval of 10 s; and Prometheus' text format."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from consulpy.metrics import registry as module
from consulpy.metrics.prometheus import render
from consulpy.metrics.registry import Aggregate, Registry, Rules
from consulpy.metrics.statsd import StatsdLines


class Wall:
    def __init__(self) -> None:
        self.now_s = 1795418013.5  # 2026-11-23 07:13:33

    def __call__(self) -> float:
        return self.now_s


def test_shown_is_the_last_whole_interval() -> None:
    wall = Wall()
    metrics = Registry(wall)
    for _ in range(9):
        metrics.incr("client.rpc")
    wall.now_s += 10
    metrics.incr("client.rpc", 100)

    shown = metrics.to_json()

    assert list(shown) == ["Timestamp", "Gauges", "Points", "Counters", "Samples"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d0 \+0000 UTC", shown["Timestamp"])
    assert shown["Counters"] == [
        {
            "Name": "consul.client.rpc",
            "Count": 9,
            "Rate": 0.9,
            "Sum": 9,
            "Min": 1,
            "Max": 1,
            "Mean": 1,
            "Stddev": 0,
            "Labels": {},
        }
    ]


def test_before_the_first_interval_is_whole_it_is_shown_as_far_as_it_is() -> None:
    metrics = Registry(Wall())
    metrics.sample("rpc.latency", 2.0, {"method": "ping"})
    assert metrics.to_json()["Samples"][0]["Labels"] == {"method": "ping"}


def test_watched_gauges_are_read_when_shown() -> None:
    metrics = Registry(Wall())
    value = [1.0]
    metrics.watch("runtime.num_goroutines", lambda: value[0])
    metrics.gauge("serf.members", 3)
    value[0] = 2.0
    gauges = {gauge["Name"]: gauge["Value"] for gauge in metrics.to_json()["Gauges"]}
    assert gauges == {"consul.runtime.num_goroutines": 2.0, "consul.serf.members": 3}


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_deviation_is_the_textbooks(values: list[float]) -> None:
    import statistics

    aggregate = Aggregate()
    for value in values:
        aggregate.add(value)
    exact = max(map(abs, values)) * 1e-7 + 1e-9  # squares are added up, as Consul does
    assert abs(aggregate.deviation - statistics.stdev(values)) <= exact
    assert aggregate.minimum == min(values)


def test_names_are_bounded(monkeypatch: object) -> None:
    metrics = Registry(Wall())
    for number in range(module.NAMES_MAX + 5):
        metrics.incr(f"name.{number}")
    metrics.incr("name.0")
    assert (metrics.dropped, len(metrics.totals)) == (5, module.NAMES_MAX)


def test_prometheus_text() -> None:
    wall = Wall()
    metrics = Registry(wall)
    metrics.incr("rpc.request", 2)
    wall.now_s += 30
    metrics.incr("rpc.request")
    metrics.gauge("serf.queue.Event", 1.5, {"pool": 'l"an\n'})
    for value in (1, 2, 3, 4):
        metrics.sample("http.GET.v1-kv", value)
    assert render(metrics) == (
        "# HELP consul_serf_queue_Event consul_serf_queue_Event\n"
        "# TYPE consul_serf_queue_Event gauge\n"
        'consul_serf_queue_Event{pool="l\\"an\\n"} 1.5\n'
        "# HELP consul_rpc_request consul_rpc_request\n"
        "# TYPE consul_rpc_request counter\n"
        "consul_rpc_request 3\n"
        "# HELP consul_http_GET_v1_kv consul_http_GET_v1_kv\n"
        "# TYPE consul_http_GET_v1_kv summary\n"
        'consul_http_GET_v1_kv{quantile="0.5"} 2\n'
        'consul_http_GET_v1_kv{quantile="0.9"} 4\n'
        'consul_http_GET_v1_kv{quantile="0.99"} 4\n'
        "consul_http_GET_v1_kv_sum 10\n"
        "consul_http_GET_v1_kv_count 4\n"
    )


def test_nothing_measured_is_nothing_shown() -> None:
    assert render(Registry(Wall())) == ""


def test_what_a_room_counts_itself_is_fetched_at_each_tick() -> None:
    metrics = Registry(Wall())
    sent = [0, 0.0]
    metrics.pull("memberlist.udp.sent", lambda: (int(sent[0]), sent[1]))
    metrics.pull("dns.domain_query", lambda: (int(sent[0]), sent[1]), {"node": "a"}, samples=True)
    sent[:] = [2, 300.0]
    metrics.tick()
    sent[:] = [3, 400.0]
    shown = metrics.to_json()
    assert [(each["Name"], each["Count"], each["Sum"]) for each in shown["Counters"]] == [
        ("consul.memberlist.udp.sent", 3, 400.0)
    ]
    assert [(each["Count"], each["Mean"]) for each in shown["Samples"]] == [(3, 400 / 3)]


def test_what_users_ask_for_never_takes_the_room_of_all_names() -> None:
    metrics = Registry(Wall())
    for number in range(module.NAMES_MAX + 10):
        metrics.incr("health.service.query", 1, {"service": f"random-{number}"})
    metrics.incr("rpc.request")
    assert len(metrics.totals) == module.LABELLED_MAX + 1
    assert metrics.dropped == module.NAMES_MAX + 10 - module.LABELLED_MAX


def test_names_of_services_and_events_that_are_gone_are_forgotten() -> None:
    wall = Wall()
    metrics = Registry(wall)
    for _ in range(10):
        for number in range(module.LABELLED_MAX // 4):
            metrics.incr("health.service.query", 1, {"service": f"{wall.now_s}-{number}"})
            metrics.incr(f"serf.events.{wall.now_s}-{number}")
            metrics.sample("some.time", 1.0, {"service": f"{wall.now_s}-{number}"})
        metrics.incr("lasting", 1, {"service": "web"})
        metrics.incr("rpc.request")
        for _ in range(2 * module.LABELLED_INTERVALS):
            wall.now_s += module.INTERVAL_S
            metrics.incr("lasting", 1, {"service": "web"})
    assert metrics.dropped == 0
    assert set(metrics.totals) == {("lasting", (("service", "web"),)), ("rpc.request", ())}
    assert not metrics.sample_totals
    assert not metrics.recent
    assert metrics.totals["rpc.request", ()] == 10


def test_reading_sends_nothing() -> None:
    """Only a tick tells sinks the gauges, however often somebody looks."""
    metrics = Registry(Wall())
    lines = StatsdLines()
    metrics.sinks.append(lines)
    metrics.watch("raft.last_index", lambda: 4.0)
    metrics.to_json()
    metrics.gauges()
    assert lines.flush() == []
    metrics.tick()
    assert lines.flush() == [b"consul.raft.last_index:4.000000|g\n"]


def test_only_names_that_the_rules_keep_are_shown() -> None:
    rules = Rules(allowed=("consul.raft.apply",), blocked=("consul.raft",), allow_by_default=True)
    metrics = Registry(Wall(), rules)
    for name in ("raft.apply", "raft.commit", "rpc.request"):
        metrics.incr(name)
    assert [each["Name"] for each in metrics.to_json()["Counters"]] == ["consul.raft.apply", "consul.rpc.request"]
    assert "raft_commit" not in render(metrics)


def test_the_default_can_be_to_show_nothing() -> None:
    metrics = Registry(Wall(), Rules(allowed=("consul.rpc",), allow_by_default=False))
    metrics.incr("raft.apply")
    metrics.incr("rpc.request")
    assert [each["Name"] for each in metrics.to_json()["Counters"]] == ["consul.rpc.request"]


def test_gauges_have_the_name_of_the_host() -> None:
    metrics = Registry(Wall(), Rules(hostname="box"))
    metrics.gauge("raft.last_index", 3)
    assert metrics.to_json()["Gauges"][0]["Name"] == "consul.box.raft.last_index"
    assert "consul_box_raft_last_index 3" in render(metrics)


@given(st.lists(st.lists(st.floats(0, 1e3, width=32), max_size=700), max_size=3))
def test_samples_are_aggregated_like_single_values(parts: list[list[float]]) -> None:
    metrics = Registry(Wall())
    single = Aggregate()
    for values in parts:
        for value in values:
            metrics.sample("kvs.apply", value)
            single.add(value)
        shown = metrics.to_json()["Samples"]  # aggregates what is there
    if single.count:
        assert [(each["Count"], each["Min"], each["Max"]) for each in shown] == [
            (single.count, single.minimum, single.maximum)
        ]
        assert math.isclose(shown[0]["Sum"], single.sum, abs_tol=1e-6)
        every = [value for values in parts for value in values]
        assert list(metrics.recent["kvs.apply", ()]) == every[-module.RECENT_MAX :]
