"""Convergence: after any changes of agent and catalog and any failed calls, both are equal in the end."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from consulpy.errors import NoLeader
from consulpy.local import api
from consulpy.local.state import LocalState
from consulpy.local.sync.anti_entropy import AntiEntropy
from consulpy.local.sync.diff import same_check, same_node, same_service
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import NodeService
from tests.fakes.local import FakeCatalog, Fraction, node
from tests.harness.effort import cases
from tests.harness.ttl_checks import TtlStarter

_ids = st.sampled_from(["a", "b", "c"])
_steps = st.one_of(
    st.tuples(st.just("service"), _ids, st.integers(1, 3)),
    st.tuples(st.just("check"), _ids, _ids),
    st.tuples(st.just("status"), _ids, st.sampled_from(["passing", "warning", "critical"])),
    st.tuples(st.just("output"), _ids, st.sampled_from(["x", "y"])),
    st.tuples(st.just("gone"), _ids, st.booleans()),
    st.tuples(st.just("meddle"), _ids, st.sampled_from(["add", "remove", "change", "node"])),
    st.tuples(st.just("fail"), st.booleans(), st.none()),
    st.tuples(st.just("hold"), st.booleans(), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 20, 100, 400]), st.none()),
)


class World:
    def __init__(self) -> None:
        self.clock, self.catalog = Clock(), FakeCatalog()
        self.local = LocalState(node(), self.clock, Fraction(), starter=TtlStarter(self.clock))
        AntiEntropy(self.catalog, self.local, self.clock, Fraction(), lambda: 3).start()

    def service(self, name: str, port: int) -> None:
        api.register_service(self.local, b'{"Name":"%s","Port":%d}' % (name.encode(), port))

    def check(self, name: str, service: str) -> None:
        owner = b',"ServiceID":"%s"' % service.encode() if service in self.local.services else b""
        api.register_check(self.local, b'{"Name":"k%s","TTL":"9h"%s}' % (name.encode(), owner))

    def status(self, name: str, status: str) -> None:
        if f"k{name}" in self.local.checks:
            api.set_check(self.local, f"k{name}", status)

    def output(self, name: str, note: str) -> None:
        check = self.local.checks.get(f"k{name}")
        if check is not None:
            api.set_check(self.local, f"k{name}", check.status, note)

    def gone(self, name: str, is_service: bool) -> None:
        (api.deregister_service if is_service else api.deregister_check)(self.local, name if is_service else f"k{name}")

    def meddle(self, name: str, how: str) -> None:
        catalog = self.catalog
        if how == "add":
            catalog.services[name + "?"] = NodeService(id=name + "?", service="stranger")
            catalog.checks[name + "?"] = HealthCheck(node="c1", check_id=name + "?")
        elif how == "remove":
            catalog.services.pop(name, None)
            catalog.checks.pop(f"k{name}", None)
        elif how == "change" and name in catalog.services:
            catalog.services[name].port = 99
        elif how == "node":
            catalog.node = None

    def fail(self, on: bool, _: None) -> None:
        self.catalog.error = NoLeader() if on else None

    def hold(self, on: bool, _: None) -> None:
        held, self.catalog.held = self.catalog.held, [] if on else None
        for answer in held or []:
            answer.callback(None)

    def wait(self, seconds: int, _: None) -> None:
        self.clock.pump([seconds / 4] * 4)

    def agree(self) -> bool:
        ours, theirs = self.local, self.catalog
        return (
            isinstance(theirs.node, Node)
            and same_node(ours.entries.node, theirs.node)
            and ours.services.keys() == theirs.services.keys()
            and ours.checks.keys() == theirs.checks.keys()
            and all(same_service(service, theirs.services[key]) for key, service in ours.services.items())
            and all(same_check(check, theirs.checks[key]) for key, check in ours.checks.items())
        )


@settings(max_examples=cases(150), deadline=None)
@given(st.lists(_steps, max_size=25))
def test_agent_and_catalog_agree_in_the_end(steps: list[tuple[Any, ...]]) -> None:
    world = World()
    for name, first, second in steps:
        getattr(world, name)(first, second)
    world.fail(False, None)
    world.hold(False, None)
    for _ in range(40):  # retries, full syncs, and the time for which an output may be deferred
        world.clock.pump([10, 10, 10])
    assert world.agree()
    assert all(entry.in_sync for entry in world.local.entries.checks.values())
    assert not any(entry.deleted for entry in world.local.entries.services.values())
