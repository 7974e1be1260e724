"""Config entries and intentions of the primary datacenter are copied: what differs, in an order that is accepted."""

from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock

from consulpy.errors import NoPathToDatacenter
from consulpy.leader.mesh_replication import BURST, PAUSE_S, RETRY_S, MeshReplication
from consulpy.state.commands import ConfigEntry
from consulpy.state.config_entry import DELETE, UPSERT
from consulpy.state.store import Store
from consulpy.structs.config_entry import ServiceDefaults
from consulpy.structs.config_entry_requests import AllEntriesReply, EntryRequest
from consulpy.structs.intention import Intention, IntentionsReply
from consulpy.structs.newer_config_entry import NewerEntry
from consulpy.structs.requests import SpecificRequest
from tests.harness.config_entries import delete, put

PROXIES = {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}
SPLITTER = {"Kind": "service-splitter", "Name": "a", "Splits": [{"Weight": 100, "ServiceSubset": "v1"}]}
RESOLVER = {"Kind": "service-resolver", "Name": "a", "Subsets": {"v1": {}}}


class Datacenters:
    """The primary's store, the secondary's, and the replication between them."""

    def __init__(self) -> None:
        self.primary, self.secondary, self.clock = Store(), Store(), Clock()
        self.asked: list[tuple[str, SpecificRequest]] = []
        self.lines: list[str] = []
        self.writes = 0
        self.reachable = True
        self.intentions: list[Intention] = []
        self.lacking: list[str] = []
        #: Questions that wait for a change.
        self.waiting: list[Deferred[Any]] = []
        self.replication = MeshReplication(
            lambda: self.secondary, self.clock, "dc1", self.ask, self.submit, lambda: "secret",  # type: ignore[arg-type]
            lambda level, text: self.lines.append(f"{level}: {text}"), with_intentions=True,
            without_newer_kinds=lambda: succeed(self.lacking),
        )  # fmt: skip

    def ask(self, method: str, request: Any) -> "Deferred[Any]":
        self.asked.append((method, request))
        if not self.reachable:
            return fail(NoPathToDatacenter())
        if request.options.min_query_index > self.primary.index:
            later: Deferred[Any] = Deferred()
            self.waiting.append(later)
            return later.addCallback(lambda _: self.reply(method))
        return succeed(self.reply(method))

    def reply(self, method: str) -> Any:
        reply: Any = AllEntriesReply(entries=list(self.primary.config_entries.table.all()))
        if method == "Intention.List":
            reply = IntentionsReply(intentions=self.intentions)
        reply.meta.index = self.primary.index + 1
        return reply

    def submit(self, command: Any) -> "Deferred[Any]":
        self.writes += 1
        return maybeDeferred(command.apply, self.secondary, self.secondary.index + 1)

    def changed(self) -> None:
        """Answer all who wait."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(None)

    def copied(self) -> Any:
        self.changed()
        self.clock.advance(PAUSE_S)
        return [(each.kind, each.name) for each in self.secondary.config_entries.table.all()]


def test_entries_come_in_an_order_that_each_chain_allows_and_go_in_the_other() -> None:
    both = Datacenters()
    for entry in (PROXIES, RESOLVER, SPLITTER):
        assert put(both.primary, entry) == ""
    both.replication.start()
    assert both.copied() == [("proxy-defaults", "global"), ("service-resolver", "a"), ("service-splitter", "a")]
    assert both.writes == 3
    both.copied()
    assert both.writes == 3, "what is the same is not written again"
    assert both.asked[-2][1].options.min_query_index == both.primary.index + 1, "the next question waits"
    for kind, name in (("service-splitter", "a"), ("service-resolver", "a"), ("proxy-defaults", "global")):
        assert delete(both.primary, kind, name) == ""
    assert both.copied() == []
    assert both.lines == []


def test_a_change_right_after_another_is_copied_at_once_but_many_are_copied_together() -> None:
    both = Datacenters()
    both.replication.start()
    for name in "abc":
        put(both.primary, RESOLVER | {"Name": name})
        both.changed()
    assert len(list(both.secondary.config_entries.table.all())) == 3
    asked = len(both.asked)
    for number in range(100):
        put(both.primary, RESOLVER | {"Name": f"n{number}"})
        both.changed()
    assert len(both.asked) - asked <= 2 * BURST
    assert len(both.copied()) == 103


def test_intentions_are_copied_with_their_ids() -> None:
    both = Datacenters()
    row = Intention("11111111-1111-1111-1111-111111111111", "", "default", "a", "default", "b", "consul", "allow")
    both.intentions = [row]
    both.replication.start()
    found = both.secondary.intentions.table.all()
    assert [(each.id, each.action, each.precedence) for each in found] == [(row.id, "allow", 9)]
    both.intentions = []
    put(both.primary, RESOLVER)
    both.copied()
    assert list(both.secondary.intentions.table.all()) == []


def test_without_the_primary_everything_stays_and_is_asked_for_again() -> None:
    both = Datacenters()
    put(both.primary, RESOLVER)
    both.replication.start()
    both.reachable = False
    both.copied()
    assert len(both.copied()) == 1
    assert any("could not be copied from dc1: No path to datacenter" in line for line in both.lines)
    both.reachable = True
    put(both.primary, RESOLVER | {"Name": "b"})
    for _ in range(10):
        both.clock.advance(RETRY_S)
    assert len(both.copied()) == 2
    asked = len(both.asked)
    both.replication.stop()
    both.clock.advance(100)
    assert len(both.asked) == asked


def test_newer_kinds_are_copied_where_they_end_no_server() -> None:
    """The list that asks for them names them; a primary of 1.8.7 does not look at that."""
    both = Datacenters()
    mesh = ("mesh", "mesh")
    both.lacking = ["10.0.0.2:8300"]
    ConfigEntry(EntryRequest("dc1", "", UPSERT, NewerEntry(*mesh, body={"HTTP": {}}), "mesh")).apply(both.primary, 1)
    ConfigEntry(EntryRequest("dc1", "", UPSERT, ServiceDefaults("service-defaults", "web"), "")).apply(both.primary, 2)
    both.replication.start()
    assert both.copied() == [("service-defaults", "web")]
    assert "10.0.0.2:8300" in both.lines[0]
    kinds = [request.kinds for method, request in both.asked if method == "ConfigEntry.ListAll"]
    assert "mesh" in kinds[0]
    both.lacking = []
    assert mesh in both.copied()
    ConfigEntry(EntryRequest("dc1", "", DELETE, NewerEntry(*mesh), "mesh")).apply(both.primary, 3)
    both.lacking = ["10.0.0.2:8300"]
    assert mesh in both.copied()  # a delete would end that server, too
    both.lacking = []
    assert both.copied() == [("service-defaults", "web")]
