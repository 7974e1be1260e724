"""What the leader writes for each member, record by record (docs/wire/rpc.md 13; captured log entries)."""

import json
from pathlib import Path
from typing import Any

import pytest

from consulpy.leader.reconcile import Leader, reconcile, remove_member, unknown_nodes
from consulpy.serf.members import Member, Status
from consulpy.state.commands import Command, Deregister, Register, decode
from consulpy.state.store import Store
from consulpy.structs.requests import RegisterRequest

LOG = json.loads((Path(__file__).parents[2] / "vectors" / "rpc" / "raft_log.json").read_text())["entries"]
CLIENT_ID, SERVER_ID = "a802a66e-f0c5-9ed6-0d08-d751abaa30d6", "710b9fca-d8a9-06b9-4f46-938e1b2d3a63"
ME = Leader("dc1", "r3")


def member(name: str, status: Status = Status.ALIVE, **tags: str) -> Member:
    return Member(
        name=name,
        address="127.20.1.11",
        tags={"role": "node", "dc": "dc1", "id": CLIENT_ID, "segment": "", "build": "1.8.7:1e03567d", **tags},
        status=status,
        protocol_min=1,
        protocol_max=5,
        protocol_cur=2,
    )


def server(name: str = "r3", status: Status = Status.ALIVE, **tags: str) -> Member:
    found = member(
        name, status, **{"role": "consul", "id": SERVER_ID, "port": "8300", "vsn": "2", "raft_vsn": "3", **tags}
    )
    found.address = "127.20.1.3"
    return found


def entry(index: int) -> Command:
    (data,) = (bytes.fromhex(each["data_hex"]) for each in LOG if each["index"] == index)
    return decode(data)


def apply(store: Store, commands: list[Command]) -> None:
    for command in commands:
        command.apply(store, store.index + 1)


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_new_client_is_registered_as_consul_does(store: Store) -> None:
    assert reconcile(store, ME, member("rc")) == [entry(7)]


def test_a_server_is_registered_with_its_service_as_consul_does(store: Store) -> None:
    assert reconcile(store, ME, server()) == [entry(5)]


def test_a_failed_member_turns_critical_as_consul_writes_it(store: Store) -> None:
    apply(store, reconcile(store, ME, member("rc")))
    apply(store, [entry(10)])
    (command,) = reconcile(store, ME, member("rc", Status.FAILED))
    theirs: Any = entry(41)
    assert isinstance(command, Register)
    assert command.body.check == theirs.body.check
    assert command.body.skip_node_update
    assert command.body.skip_node_update == theirs.body.skip_node_update
    assert command == theirs


def test_a_member_that_is_back_keeps_what_the_node_told_of_itself(store: Store) -> None:
    apply(store, reconcile(store, ME, member("rc")))
    apply(store, [entry(45), *reconcile(store, ME, member("rc", Status.FAILED))])
    assert reconcile(store, ME, member("rc")) == [entry(46)]


def test_a_member_that_left_is_deregistered_as_consul_does(store: Store) -> None:
    apply(store, reconcile(store, ME, member("rc")))
    assert reconcile(store, ME, member("rc", Status.LEFT)) == [entry(47)]
    assert remove_member(store, ME, "rc") == [entry(47)], "and so is one that was reaped"


@pytest.mark.parametrize("status", [Status.ALIVE, Status.FAILED, Status.LEFT])
@pytest.mark.parametrize("make", [member, server])
def test_what_is_written_already_is_not_written_again(store: Store, make: Any, status: Status) -> None:
    apply(store, reconcile(store, ME, make("x")))
    apply(store, reconcile(store, ME, make("x", status)))
    assert reconcile(store, ME, make("x", status)) == []


@pytest.mark.parametrize("status", [Status.FAILED, Status.LEFT, Status.LEAVING, Status.NONE])
def test_an_unknown_member_is_written_only_while_it_lives(store: Store, status: Status) -> None:
    assert reconcile(store, ME, member("rc", status)) == []


def test_a_leader_never_deregisters_itself(store: Store) -> None:
    apply(store, reconcile(store, ME, server()))
    assert reconcile(store, ME, server(status=Status.LEFT)) == []
    assert remove_member(store, ME, "r3") == []


@pytest.mark.parametrize("tags", [{"role": ""}, {"dc": "dc2"}])
def test_other_gossipers_never_enter_the_catalog(store: Store, tags: dict[str, str]) -> None:
    assert reconcile(store, ME, member("stranger", **tags)) == []


@pytest.mark.parametrize("status", [Status.ALIVE, Status.FAILED])
def test_a_changed_address_is_written(store: Store, status: Status) -> None:
    apply(store, reconcile(store, ME, member("rc")))
    apply(store, reconcile(store, ME, member("rc", status)))
    moved = member("rc", status)
    moved.address = "127.20.1.12"
    (command,) = reconcile(store, ME, moved)
    assert isinstance(command, Register)
    assert command.body.address == "127.20.1.12"


def test_a_server_with_other_metadata_is_written_again(store: Store) -> None:
    apply(store, reconcile(store, ME, server()))
    (command,) = reconcile(store, ME, server(build="1.9.0:abc"))
    assert isinstance(command, Register)
    assert command.body.service is not None
    assert (command.body.service.meta or {})["version"] == "1.9.0"


def test_nodes_without_a_member_are_found_unless_somebody_else_registered_them(store: Store) -> None:
    apply(store, reconcile(store, ME, member("rc")) + reconcile(store, ME, member("old", id="")))
    apply(store, [Register(RegisterRequest(node="external", address="1.1.1.1"))])
    assert unknown_nodes(store, {"rc"}) == ["old"]
    assert isinstance(remove_member(store, ME, "old")[0], Deregister)
