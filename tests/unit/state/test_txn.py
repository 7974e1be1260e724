"""Operations of transactions that only RPC can carry, and reads that would write: answers as of Consul 1.8.7."""

from typing import Any

import pytest

from consulpy.state.commands import Session as SessionCommand
from consulpy.state.commands import Txn
from consulpy.state.txn import read
from consulpy.structs.kv import DirEntry
from consulpy.structs.node import Node
from consulpy.structs.session import CREATE, Session, SessionRequest
from consulpy.structs.txn import KVOp, NodeOp, SessionOp, TxnOp, TxnReply, TxnRequest
from tests.harness.store import ID1, ID2, World

READ_ONLY = "cannot insert in read-only transaction"


@pytest.fixture
def world() -> World:
    world = World()
    world.register("n1")
    world.do(SessionCommand(SessionRequest(datacenter="dc1", op=CREATE, session=Session(id=ID1, node="n1"))))
    return world


def written(world: World, *operations: TxnOp) -> TxnReply:
    reply: TxnReply = world.do(Txn(TxnRequest(datacenter="dc1", ops=list(operations))))
    return reply


def on_key(verb: str, key: str = "a", **fields: Any) -> TxnOp:
    return TxnOp(kv=KVOp(verb, DirEntry(key=key, **fields)))


def on_session(verb: str, session_id: str) -> TxnOp:
    return TxnOp(session=SessionOp(verb, Session(id=session_id)))


def faults(reply: TxnReply) -> list[str]:
    return [error.what for error in reply.errors or ()]


def test_an_operation_that_says_nothing_refuses_all(world: World) -> None:
    """Taken for nothing, it made the state of a leader of ours differ from that of real followers."""
    assert faults(written(world, on_key("set"), TxnOp())) == ["no operation specified"]
    assert world.store.kv.table.get("a") is None
    assert faults(read(world.store, [TxnOp()])) == ["no operation specified"]


def test_a_session_is_removed_and_what_it_holds_stays_locked(world: World) -> None:
    written(world, on_key("lock", session=ID1))
    index = world.store.index
    assert written(world, on_session("delete", ID1.upper())).errors is None
    assert world.store.sessions.all(None) == (index + 1, ())
    entry = world.store.kv.table.get("a")
    assert entry is not None
    assert (entry.session, entry.modify_index) == (ID1, index)


@pytest.mark.parametrize(
    ("verb", "session_id", "fault"),
    [
        ("destroy", ID1, 'unknown Session verb "destroy"'),
        ("", ID1, 'unknown Session verb ""'),
        ("delete", "", "failed deleting session: object missing primary index"),
        (
            "delete",
            "zork",
            "failed deleting session: failed to build primary index: UUID must be 36 characters",
        ),
        ("delete", ID2, "failed deleting session: not found"),
    ],
)
def test_a_session_that_cannot_be_removed(world: World, verb: str, session_id: str, fault: str) -> None:
    reply = written(world, on_key("set"), on_session(verb, session_id))
    assert faults(reply) == [f"failed to delete session: {fault}"]
    assert world.store.sessions.find(ID1) is not None
    assert world.store.kv.table.get("a") is None


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        (on_key("set", "new"), f"failed inserting kvs entry: {READ_ONLY}"),
        (on_key("set", "here", value=b"other"), f"failed inserting kvs entry: {READ_ONLY}"),
        (on_key("cas", "new"), f"failed inserting kvs entry: {READ_ONLY}"),
        (on_key("lock", "new", session=ID1), f"failed inserting kvs entry: {READ_ONLY}"),
        (on_key("delete", "here"), f"failed adding to graveyard: failed inserting tombstone: {READ_ONLY}"),
        (on_key("delete-tree", "he"), "failed recursive deleting kvs entry: cannot delete in read-only transaction"),
        (TxnOp(node=NodeOp("set", Node(node="n2", address="10.0.0.2"))), f"failed inserting node: {READ_ONLY}"),
        (
            on_session("delete", ID1),
            "failed to delete session: failed deleting session: cannot delete in read-only transaction",
        ),
    ],
)
def test_a_read_changes_nothing(world: World, operation: TxnOp, fault: str) -> None:
    """`Txn.Read` is in no log: what it wrote was on the leader only, and gone with it."""
    written(world, on_key("set", "here", value=b"x"))
    before = world.records()
    assert faults(read(world.store, [operation])) == [fault]
    assert world.records() == before


def test_a_read_may_write_what_is_there_and_delete_what_is_not(world: World) -> None:
    """As in Consul: nothing changes."""
    written(world, on_key("set", "here", value=b"x"))
    before = world.records()
    operations = [on_key("set", "here", value=b"x"), on_key("delete", "nope"), on_key("get", "here")]
    assert read(world.store, operations).errors is None
    assert world.records() == before
