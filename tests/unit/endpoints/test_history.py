"""Four hundred changes of a catalog: after each, every answer and its index are those of real Consul.

`history.json` was recorded by `record_history.py` from Consul 1.8.7 (docs/wire/rpc.md 14).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from consulpy.codec.record import Record
from consulpy.state.watch import WatchSet
from tests.fakes.endpoints import Server

HISTORY = json.loads(Path(__file__).with_name("history.json").read_text())

#: What each recorded query asks, and where its rows are in the reply.
CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "nodes": ("Catalog.ListNodes", {}, "nodes"),
    "services": ("Catalog.ListServices", {}, "services"),
    "service x": ("Catalog.ServiceNodes", {"ServiceName": "x"}, "service_nodes"),
    "service y": ("Catalog.ServiceNodes", {"ServiceName": "y"}, "service_nodes"),
    "service unknown": ("Catalog.ServiceNodes", {"ServiceName": "unknown"}, "service_nodes"),
    "tagged x": (
        "Catalog.ServiceNodes",
        {"ServiceName": "x", "TagFilter": True, "ServiceTags": ["T1"]},
        "service_nodes",
    ),
    "native x": ("Catalog.ServiceNodes", {"ServiceName": "x", "Connect": True}, "service_nodes"),
    "node a": ("Catalog.NodeServices", {"Node": "a"}, "node_services"),
    "node b": ("Catalog.NodeServices", {"Node": "b"}, "node_services"),
    "node-services a": ("Catalog.NodeServiceList", {"Node": "a"}, "node_services"),
    "node unknown": ("Catalog.NodeServices", {"Node": "unknown"}, "node_services"),
    "health x": ("Health.ServiceNodes", {"ServiceName": "x"}, "nodes"),
    "health y": ("Health.ServiceNodes", {"ServiceName": "y"}, "nodes"),
    "health unknown": ("Health.ServiceNodes", {"ServiceName": "unknown"}, "nodes"),
    "node checks a": ("Health.NodeChecks", {"Node": "a"}, "health_checks"),
    "node checks unknown": ("Health.NodeChecks", {"Node": "unknown"}, "health_checks"),
    "service checks x": ("Health.ServiceChecks", {"ServiceName": "x"}, "health_checks"),
    "any": ("Health.ChecksInState", {"State": "any"}, "health_checks"),
    "critical": ("Health.ChecksInState", {"State": "critical"}, "health_checks"),
    "ui nodes": ("Internal.NodeDump", {}, "dump"),
    "ui node a": ("Internal.NodeInfo", {"Node": "a"}, "dump"),
}
#: Consul takes the index of the plain service here, so that a new proxy does not move it; ours moves.
NOT_COMPARED = ("native x",)


def rendered(value: Any) -> Any:
    """Plain JSON in which nil and empty are the same, as the HTTP layer alone decides between them."""
    if isinstance(value, Record):
        return rendered(value.to_json())
    if isinstance(value, dict):
        return {key: rendered(each) for key, each in value.items() if key != "agent-one"}
    if isinstance(value, list | tuple):
        return [rendered(each) for each in value] or None
    return value


def plain(value: Any) -> Any:
    """A recorded answer in the same form, without the recording server itself."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key != "consul"} or None
    if isinstance(value, list):
        rows = [each for each in value if not (isinstance(each, dict) and each.get("Node") == "real1")]
        return [plain(each) for each in rows] or None
    return value


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: each for key, each in ((k, without_empty(v)) for k, v in value.items()) if each not in (None, {}, [])
        }
    if isinstance(value, list):
        return [without_empty(each) for each in value]
    return value


def test_every_answer_and_index_is_consuls() -> None:
    server = Server()
    for number, step in enumerate(HISTORY, 1):
        method = "Catalog.Register" if step["do"] == "register" else "Catalog.Deregister"
        assert server.answer(method, {"Datacenter": "dc1", **step["body"]}) == step["answer"], step
        assert server.store.index == number
        for name, (method, request, where) in CALLS.items():
            reply = server.call(method, {"Datacenter": "dc1", **request})
            missing = name == "ui node a" and getattr(reply, where) is None  # a 404 without a header
            if name not in NOT_COMPARED and not missing:
                assert reply.meta.index == step["indexes"][name], (number, name, step)
            if "results" in step:
                expected = without_empty(plain(step["results"][name]))
                if name == "ui node a":
                    expected = [expected] if expected else None  # HTTP shows the only one
                if name == "services":
                    expected = {
                        service: sorted(tags or ()) for service, tags in (plain(step["results"][name]) or {}).items()
                    }
                    assert {service: sorted(tags) for service, tags in reply.services.items()} == expected
                else:
                    assert (without_empty(rendered(getattr(reply, where))) or None) == (expected or None), (
                        number,
                        name,
                    )


@pytest.mark.parametrize("name", CALLS)
def test_a_watcher_is_woken_exactly_when_its_index_moved(name: str) -> None:
    """The other half of blocking queries: who waits for an answer hears of every change of it, and of no other."""
    server = Server()
    method, request, where = CALLS[name]
    woken: list[int] = []
    for step in HISTORY:
        watch = WatchSet()
        before = server.call(method, {"Datacenter": "dc1", **request}, watch)
        shown = rendered(getattr(before, where))
        woken.clear()
        waiter = server.store.watchers.wait(watch, lambda: woken.append(1))
        server.answer(
            "Catalog.Register" if step["do"] == "register" else "Catalog.Deregister",
            {"Datacenter": "dc1", **step["body"]},
        )
        waiter.cancel()
        after = server.call(method, {"Datacenter": "dc1", **request})
        moved = after.meta.index != before.meta.index
        assert bool(woken) >= moved, step
        if rendered(getattr(after, where)) != shown:
            assert woken, (name, step)
            # an index that falls to 0 is that of a node which went away
            assert after.meta.index > before.meta.index or not after.meta.index, (name, step)
        elif woken:
            assert moved or name.startswith(("node", "service unknown", "health unknown")), (name, step)
    assert len(server.store.watchers) == 0
