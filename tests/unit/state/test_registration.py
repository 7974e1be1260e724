"""What leaders of Consul 1.8.7 log, and all servers refuse or change when they apply it: ours too, or states differ."""

import dataclasses

import pytest

from consulpy.errors import RPCError
from consulpy.state.commands import ConfigEntry, Register, Txn
from consulpy.structs.check import HealthCheck
from consulpy.structs.config_entry import ServiceDefaults
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.service import NodeService, Weights
from consulpy.structs.txn import ServiceOp, TxnOp, TxnReply, TxnRequest
from tests.harness.store import World, check, service

BAD_META = (
    "Invalid Service Meta for node n and serviceID web: "
    "Couldn't load metadata pair ('*', 'x'): Key contains invalid characters"
)


@pytest.fixture
def world() -> World:
    world = World()
    world.register("n")
    return world


def stored(world: World) -> NodeService | None:
    return world.store.catalog.service("n", "web")


def set_in_transaction(world: World, given: NodeService) -> TxnReply:
    operation = TxnOp(service=ServiceOp("set", "n", given))
    reply: TxnReply = world.do(Txn(TxnRequest(datacenter="dc1", ops=[operation])))
    return reply


def test_metadata_that_is_none_refuses_a_registration_and_all_that_is_with_it(world: World) -> None:
    request = RegisterRequest(
        datacenter="dc1", node="other", address="10.0.0.2", service=service("web", meta={"*": "x"})
    )
    with pytest.raises(RPCError, match=r"failed inserting service: Invalid Service Meta for node other"):
        world.do(Register(request))
    assert not world.store.catalog.has_node("other")


def test_metadata_that_is_none_refuses_a_transaction(world: World) -> None:
    reply = set_in_transaction(world, service("web", meta={"*": "x"}))
    assert [error.what for error in reply.errors or ()] == [BAD_META]
    assert stored(world) is None


@pytest.mark.parametrize("weights", [Weights(0, 0), Weights(0, 5), Weights(1, -1), Weights(65536, 1), None])
def test_weights_that_no_record_has_are_one(world: World, weights: Weights | None) -> None:
    world.register("n", service=service("web", weights=weights))
    found = stored(world)
    assert found is not None
    assert found.weights == Weights(1, 1)
    assert set_in_transaction(world, service("web", weights=weights)).errors is None
    assert stored(world) == found, "unchanged, and so is its index"


def test_weights_that_a_record_has_are_kept(world: World) -> None:
    world.register("n", service=service("web", weights=Weights(65535, 0)))
    found = stored(world)
    assert found is not None
    assert found.weights == Weights(65535, 0)


def of_type(kind: str) -> HealthCheck:
    return check("n", "c", type=kind)


def test_the_type_of_a_check_is_stored_and_not_compared(world: World) -> None:
    """The check and its service keep their indexes."""
    world.register("n", service=service("web"), checks=[of_type("")])
    before, index = world.store.catalog.check("n", "c"), world.store.indexes.get(("service", "web"))
    world.register("n", checks=[of_type("ttl")])
    assert before is not None
    assert world.store.catalog.check("n", "c") == dataclasses.replace(before, type="ttl")
    assert world.store.indexes.get(("service", "web")) == index
    assert world.store.indexes.get("checks") == world.store.index
    changed = world.register("n", checks=[check("n", "c", "warning", type="tcp")])
    found = world.store.catalog.check("n", "c")
    assert found is not None
    assert found.modify_index == changed


def test_a_config_entry_without_a_name_is_none(world: World) -> None:
    entry = ServiceDefaults(kind="service-defaults", protocol="http")
    with pytest.raises(RPCError, match="failed inserting config entry: object missing primary index"):
        world.do(ConfigEntry(EntryRequest(datacenter="dc1", op="upsert", entry=entry)))
    assert not world.store.config_entries.all(None)[1]
