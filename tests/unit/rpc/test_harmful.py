"""What would end real servers is passed on by none of ours: not to a leader, not by a client, not to a datacenter."""

from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.errors import RPCError
from consulpy.metrics.registry import NOTHING
from consulpy.rpc.call import ClientCaller
from consulpy.rpc.forward import LeaderForwarder
from consulpy.rpc.harmful import refuse_harmful
from consulpy.rpc.methods import METHODS
from consulpy.rpc.wan_forward import DatacenterForwarder
from consulpy.structs.config_entry import ProxyDefaults, ServiceDefaults
from consulpy.structs.config_entry_requests import EntryRequest


def request(config: Any) -> EntryRequest:
    return EntryRequest("dc1", "", "upsert", ProxyDefaults(kind="proxy-defaults", name="global", config=config))


HARMFUL = request({"a": [1, {"b": None}]})


@pytest.mark.parametrize("config", [{"a": None}, {"a": {"b": None}}, {"a": [None]}])
def test_a_null_anywhere_is_harmful(config: Any) -> None:
    with pytest.raises(RPCError, match="is null"):
        refuse_harmful("ConfigEntry.Apply", request(config))


def test_nothing_else_is() -> None:
    refuse_harmful("ConfigEntry.Apply", request({"a": [1, {"b": ""}]}))
    refuse_harmful("ConfigEntry.Apply", request(None))
    refuse_harmful("ConfigEntry.Apply", EntryRequest(entry=ServiceDefaults(name="a")))
    refuse_harmful("ConfigEntry.Delete", HARMFUL)


class Nobody:
    """Must not be asked for anything."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def error_of(call: Any) -> str:
    failures: list[Any] = []
    call.addErrback(failures.append)
    failures[0].trap(RPCError)
    return str(failures[0].value)


def test_no_way_to_a_real_server_is_taken() -> None:
    method, clock = METHODS["ConfigEntry.Apply"], Clock()
    nobody: Any = Nobody()
    forward = LeaderForwarder(nobody, nobody, clock, Random(1), 7.0)  # type: ignore[arg-type]
    client = ClientCaller(nobody, nobody, clock, Random(1))  # type: ignore[arg-type]
    wan = DatacenterForwarder(list, nobody, Random(1), metrics=NOTHING)
    calls = (
        forward.call(nobody, method, HARMFUL),
        client.call(method.name, HARMFUL),
        wan.call("dc2", method, HARMFUL),
    )
    for call in calls:
        assert "Config.a[1].b is null" in error_of(call)
