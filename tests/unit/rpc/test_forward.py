"""Which server of another datacenter is asked, and what counts as its fault."""

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from consulpy.errors import NoPathToDatacenter, RPCError
from consulpy.rpc.methods import METHODS
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.rpc.wan_forward import DatacenterForwarder
from consulpy.serf.members import Member, Status
from consulpy.structs.requests import SpecificRequest

METHOD = "Catalog.ListNodes"


def member(name: str, datacenter: str = "dc2", status: Status = Status.ALIVE) -> Member:
    tags = {"role": "consul", "dc": datacenter, "port": "8300", "vsn": "2", "build": "1.8.7:", "id": name}
    return Member(f"{name}.{datacenter}", "127.0.0.2", 8302, tags, status)


class Wire:
    """What each server says; who was asked."""

    def __init__(self, **says: str) -> None:
        self.says = says
        self.asked: list[str] = []

    def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
        self.asked.append(server.node_name)
        said = self.says.get(server.node_name)
        return fail(RPCError(said)) if said else succeed({})


def ask(elsewhere: DatacenterForwarder, datacenter: str = "dc2") -> Any:
    seen: list[Any] = []
    elsewhere.call(datacenter, METHODS[METHOD], SpecificRequest(datacenter=datacenter)).addBoth(seen.append)
    return getattr(seen[0], "value", seen[0])


def test_only_living_servers_of_that_datacenter_are_asked() -> None:
    wire = Wire()
    members = [member("a"), member("b", status=Status.FAILED), member("c", "dc3")]
    elsewhere = DatacenterForwarder(lambda: members, wire, Random(1))
    for _ in range(5):
        assert ask(elsewhere).nodes is None
    assert set(wire.asked) == {"a"}
    assert isinstance(ask(elsewhere, "dc4"), NoPathToDatacenter)


def test_who_was_not_reached_is_asked_again_only_if_there_is_no_other() -> None:
    wire, lines = Wire(a="rpc error getting client: failed to get conn: refused"), []
    elsewhere = DatacenterForwarder(
        lambda: [member("a"), member("b")], wire, Random(1), log=lambda _level, text: lines.append(text)
    )
    for _ in range(20):
        ask(elsewhere)
    assert wire.asked.count("a") == len(lines) == 1
    assert wire.asked.count("b") == 19


@pytest.mark.parametrize("text", ["rpc error making call: Query not found", "rpc error making call: stream closed"])
def test_an_error_that_a_server_answers_is_passed_on_and_not_held_against_it(text: str) -> None:
    wire, lines = Wire(a=text, b=text), []
    elsewhere = DatacenterForwarder(
        lambda: [member("a"), member("b")], wire, Random(1), log=lambda _level, text: lines.append(text)
    )
    assert {str(ask(elsewhere)) for _ in range(20)} == {text}
    assert set(wire.asked) == {"a", "b"}
    assert lines == []
