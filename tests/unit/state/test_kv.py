"""Keys, tombstones, sessions, locks and transactions as tables (docs/wire/rpc.md 10 and 14)."""

from typing import Any

import pytest

from consulpy.errors import RPCError
from consulpy.state.commands import KVS, Deregister, Register, Session, Tombstone, Txn, decode
from consulpy.state.ordered_table import OrderedTable
from consulpy.state.snapshot import Snapshot, restore
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.check import CRITICAL, PASSING, HealthCheck
from consulpy.structs.kv import DirEntry, KVRequest, TombstoneRequest
from consulpy.structs.requests import DeregisterRequest, RegisterRequest
from consulpy.structs.session import Session as Row
from consulpy.structs.session import SessionRequest
from consulpy.structs.txn import KVOp, NodeOp, TxnOp, TxnReply, TxnRequest

ONE = "00000000-0000-0000-0000-000000000001"
TWO = "00000000-0000-0000-0000-000000000002"


class World:
    """A store with a node `n` and its check `up`."""

    def __init__(self) -> None:
        self.store = Store()
        self.check(PASSING)

    def apply(self, command: Any) -> Any:
        return decode(command.encode(sparse=True)).apply(self.store, self.store.index + 1)

    def check(self, status: str) -> None:
        check = HealthCheck(node="n", check_id="up", status=status)
        self.apply(Register(RegisterRequest(node="n", address="10.0.0.1", checks=[check])))

    def kv(self, op: str, key: str, value: bytes = b"", **fields: Any) -> Any:
        return self.apply(KVS(KVRequest(op=op, dir_ent=DirEntry(key=key, value=value, **fields))))

    def session(self, session_id: str, **fields: Any) -> None:
        row = Row(id=session_id, node="n", node_checks=["up"], **fields)
        self.apply(Session(SessionRequest(op="create", session=row)))

    def get(self, key: str) -> DirEntry | None:
        return self.store.kv.get(None, key)[1]

    def woken_by(self, prefix: str, change: Any) -> bool:
        watch, woken = WatchSet(), []
        self.store.kv.with_prefix(watch, prefix)
        waiter = self.store.watchers.wait(watch, lambda: woken.append(True))
        change()
        waiter.cancel()
        return bool(woken)


@pytest.fixture
def world() -> World:
    return World()


def test_the_same_value_again_moves_nothing(world: World) -> None:
    world.kv("set", "a", b"1")
    before = world.store.kv.get(None, "a")
    world.kv("set", "a", b"1")
    assert world.store.kv.get(None, "a") == before


def test_keys_are_in_the_order_of_their_bytes(world: World) -> None:
    names = ["é", "b", "a/", "B", "a", "10", "9", "a-", "\udcff"]
    for name in names:
        world.kv("set", name)
    listed = [entry.key for entry in world.store.kv.with_prefix(None, "")[1]]
    assert listed == sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))


def test_check_and_set_wants_the_index_it_was_read_at(world: World) -> None:
    assert world.kv("cas", "a", b"1") is True
    assert world.kv("cas", "a", b"2") is False
    index = world.store.kv.get(None, "a")[0]
    assert world.kv("cas", "a", b"2", modify_index=index) is True
    assert world.kv("cas", "missing", b"2", modify_index=5) is False
    assert world.kv("delete-cas", "a", modify_index=index) is False
    assert world.kv("delete-cas", "missing", modify_index=5) is True


def test_the_index_of_a_prefix_never_goes_back(world: World) -> None:
    world.kv("set", "p/1")
    world.kv("set", "p/2")
    before, _ = world.store.kv.with_prefix(None, "p/")
    world.kv("delete", "p/2")
    deleted, entries = world.store.kv.with_prefix(None, "p/")
    assert deleted == world.store.index > before
    assert [entry.key for entry in entries] == ["p/1"]
    world.kv("set", "q")
    assert world.store.kv.with_prefix(None, "p/")[0] == deleted
    assert world.store.kv.with_prefix(None, "nothing/")[0] == world.store.index
    world.apply(Tombstone(TombstoneRequest(reap_index=deleted)))
    assert world.store.kv.tombstones.max_index("p/") == 0


def test_a_deleted_tree_leaves_one_tombstone(world: World) -> None:
    for name in ("t", "t/1", "t/2"):
        world.kv("set", name)
    world.kv("delete-tree", "t/")
    assert [entry.key for entry in world.store.kv.with_prefix(None, "t")[1]] == ["t"]
    assert len(world.store.kv.tombstones.table) == 1


def test_who_watches_a_prefix_wakes_only_for_it(world: World) -> None:
    world.kv("set", "app/x")
    assert world.woken_by("app/", lambda: world.kv("set", "app/y"))
    assert world.woken_by("app/", lambda: world.kv("delete", "app/y"))
    assert world.woken_by("", lambda: world.kv("set", "z"))
    assert world.woken_by("app/x", lambda: world.kv("delete-tree", "app"))
    assert not world.woken_by("app/", lambda: world.kv("set", "apps"))
    assert not world.woken_by("app/", lambda: world.kv("delete", "missing"))


def test_many_watchers_cost_a_change_only_its_own_prefixes(world: World) -> None:
    woken: list[int] = []
    for number in range(2000):
        watch = WatchSet()
        world.store.kv.with_prefix(watch, f"svc/{number:04d}/")
        world.store.watchers.wait(watch, lambda number=number: woken.append(number))
    world.kv("set", "svc/0007/x")
    assert woken == [7]
    assert set(world.store.watchers._prefix_lengths) == {9}


@pytest.mark.parametrize("watchers", [1, 40])
@pytest.mark.parametrize("tree", ["a/", "a/b", "a/b/2", "", "b"])
def test_a_deleted_tree_wakes_those_who_read_any_of_its_keys(world: World, tree: str, watchers: int) -> None:
    """And nobody else, whether there are more keys or more watches."""
    for key in ("a", "a/b", "a/b/1", "a/b/2", "a/c", "b"):
        world.kv("set", key)
    reads = {
        "a": [""], "a/b": ["", "a/", "a/b"], "a/b/1": ["", "a/", "a/b"], "a/b/2": ["", "a/", "a/b", "a/b/2"],
        "a/c": ["", "a/"], "b": ["", "b"], "x": [],
    }  # fmt: skip
    prefixes = {
        "": ["", "a/", "a/b", "a/b/2", "b"], "a/": ["", "a/", "a/b", "a/b/2"], "a/b/": ["", "a/", "a/b", "a/b/2"],
        "a/b/2": ["", "a/", "a/b", "a/b/2"], "a/d": [], "b": ["", "b"], "c": [],
    }  # fmt: skip
    woken: set[tuple[str, str]] = set()
    for kind, names in (("key", reads), ("prefix", prefixes)):
        for name in names:
            for _ in range(watchers):
                watch = WatchSet()
                (world.store.kv.get if kind == "key" else world.store.kv.with_prefix)(watch, name)
                world.store.watchers.wait(watch, lambda one=(kind, name): woken.add(one))  # type: ignore[misc]
    for number in range(watchers * 10 if watchers > 1 else 0):
        watch = WatchSet()
        world.store.kv.get(watch, f"elsewhere/{number}")
        world.store.watchers.wait(watch, lambda: woken.add(("key", "elsewhere")))
    world.kv("delete-tree", tree)
    wanted = {("key", key) for key, trees in reads.items() if tree in trees}
    assert woken == wanted | {("prefix", prefix) for prefix, trees in prefixes.items() if tree in trees}


def test_a_tree_deleted_in_a_transaction_that_fails_is_there_as_before(world: World) -> None:
    for key in ("a", "t/1", "t/2", "t/3", "u"):
        world.kv("set", key, b"x")
    world.session(ONE)
    world.kv("lock", "t/2", session=ONE)
    before = world.store.kv.with_prefix(None, "")[1]
    delete = TxnOp(kv=KVOp(verb="delete-tree", dir_ent=DirEntry(key="t/")))
    put = TxnOp(kv=KVOp(verb="set", dir_ent=DirEntry(key="t/2")))
    fails = TxnOp(kv=KVOp(verb="check-not-exists", dir_ent=DirEntry(key="u")))
    assert world.apply(Txn(TxnRequest(ops=[delete, put, fails]))).errors
    assert world.store.kv.with_prefix(None, "")[1] == before
    assert [row.key for row in world.store.kv.table.by("session", ONE)] == ["t/2"]


@pytest.mark.parametrize("behavior", ["release", "delete"])
def test_a_session_that_ends_wakes_those_who_read_its_keys(world: World, behavior: str) -> None:
    world.session(ONE, behavior=behavior)
    for key in ("a/1", "b/1", "b/2", "c"):
        world.kv("lock", key, b"x", session=ONE)
    world.kv("set", "b/3", b"x")
    end = Session(SessionRequest(op="destroy", session=Row(id=ONE)))
    woken: list[str] = []
    for prefix in ("a/", "b/", "c", "d/", ""):
        watch = WatchSet()
        world.store.kv.with_prefix(watch, prefix)
        world.store.watchers.wait(watch, lambda prefix=prefix: woken.append(prefix))  # type: ignore[misc]
    world.apply(end)
    assert sorted(woken) == ["", "a/", "b/", "c"]
    index, left = world.store.kv.with_prefix(None, "b/")
    assert index == world.store.index
    assert [row.key for row in left] == (["b/1", "b/2", "b/3"] if behavior == "release" else ["b/3"])
    assert not any(row.session for row in left)
    assert len(world.store.kv.tombstones.table) == (0 if behavior == "release" else 4)


def test_keys_are_cut_at_a_separator(world: World) -> None:
    for name in ("c/a", "c/d/1", "c/d/2", "c/d"):
        world.kv("set", name)
    assert world.store.kv.keys(None, "c/", "/")[1] == ["c/a", "c/d", "c/d/"]
    assert world.store.kv.keys(None, "c/d", "/")[1] == ["c/d", "c/d/"]


def test_a_lock_belongs_to_one_session(world: World) -> None:
    world.session(ONE)
    world.session(TWO)
    assert world.kv("lock", "l", b"1", session=ONE) is True
    assert world.kv("lock", "l", b"2", session=TWO) is False
    assert world.kv("unlock", "l", b"2", session=TWO) is False
    assert world.kv("unlock", "l", b"3", session=ONE) is True
    assert world.kv("lock", "l", b"4", session=TWO) is True
    entry = world.get("l")
    assert entry is not None
    assert (entry.lock_index, entry.session, entry.value) == (2, TWO, b"4")
    world.kv("set", "l", b"5")
    entry = world.get("l")
    assert entry is not None
    assert entry.session == TWO
    with pytest.raises(RPCError, match="invalid session"):
        world.kv("lock", "l", session="00000000-0000-0000-0000-00000000dead")


def test_a_critical_check_ends_its_sessions_at_once(world: World) -> None:
    delays: list[tuple[list[str], int]] = []
    world.store.on_lock_delay = lambda keys, delay_ns: delays.append((keys, delay_ns))
    world.session(ONE, lock_delay=15)
    world.session(TWO, behavior="delete")
    world.kv("lock", "kept", session=ONE)
    world.kv("lock", "gone", session=TWO)
    world.check(CRITICAL)
    assert world.store.sessions.all(None) == (world.store.index, ())
    kept = world.get("kept")
    assert kept is not None
    assert kept.session == ""
    assert world.get("gone") is None
    assert delays == [(["kept"], 15)]


def test_a_node_that_goes_takes_its_sessions_along(world: World) -> None:
    row = Row(id=ONE, node="n")
    world.apply(Session(SessionRequest(op="create", session=row)))
    world.apply(Deregister(DeregisterRequest(node="n")))
    assert world.store.sessions.find(ONE) is None


@pytest.mark.parametrize(
    ("session", "text"),
    [
        (Row(id=ONE, node="nobody"), "Missing node registration"),
        (Row(id=ONE, node="n", checks=["none"]), "Missing check 'none' registration"),
        (Row(id=ONE, node="n", node_checks=["up"]), "Check 'up' is in critical state"),
    ],
)
def test_a_session_wants_its_node_and_living_checks(world: World, session: Row, text: str) -> None:
    world.check(CRITICAL)
    with pytest.raises(RPCError, match=text):
        world.apply(Session(SessionRequest(op="create", session=session)))


def txn(world: World, *operations: tuple[str, DirEntry]) -> TxnReply:
    ops = [TxnOp(kv=KVOp(verb=verb, dir_ent=entry)) for verb, entry in operations]
    reply = world.apply(Txn(TxnRequest(ops=ops)))
    assert isinstance(reply, TxnReply)
    return reply


def test_a_transaction_does_all(world: World) -> None:
    reply = txn(world, ("set", DirEntry(key="a", value=b"1")), ("get", DirEntry(key="a")))
    assert reply.errors is None
    assert reply.results is not None
    assert [result.kv and result.kv.value for result in reply.results] == [None, b"1"]


def test_or_nothing_and_says_everything_that_is_wrong(world: World) -> None:
    reply = txn(
        world,
        ("set", DirEntry(key="a", value=b"1")),
        ("get", DirEntry(key="b")),
        ("cas", DirEntry(key="a", modify_index=1)),
        ("dance", DirEntry(key="a")),
    )
    assert reply.results is None
    assert [(error.op_index, error.what) for error in reply.errors or ()] == [
        (1, 'key "b" doesn\'t exist'),
        (2, 'failed to set key "a", index is stale'),
        (3, 'unknown KV verb "dance"'),
    ]
    assert world.get("a") is None
    assert world.store.indexes.get("kvs") == 0


def test_a_transaction_that_fails_wakes_nobody(world: World) -> None:
    assert not world.woken_by(
        "", lambda: txn(world, ("set", DirEntry(key="a")), ("check-not-exists", DirEntry(key="a")))
    )


def test_nodes_in_transactions(world: World) -> None:
    node = world.store.catalog.node("n")
    assert node is not None
    ops = [TxnOp(node=NodeOp(verb="delete-cas", node=node))]
    assert world.apply(Txn(TxnRequest(ops=ops))).errors is None
    assert world.store.catalog.node("n") is None


def test_a_snapshot_holds_keys_sessions_and_tombstones(world: World) -> None:
    world.session(ONE, ttl="10s")
    world.kv("lock", "l", b"\xff", session=ONE)
    world.kv("set", "x")
    world.kv("delete", "x")
    records = list(Snapshot.of(world.store).records())
    again = restore(world.store.index, records)
    assert list(Snapshot.of(again).records()) == records
    assert again.kv.get(None, "l") == world.store.kv.get(None, "l")
    assert again.kv.with_prefix(None, "x")[0] == world.store.index
    assert again.kv.table.by("session", ONE)
    assert again.sessions.find(ONE) == world.store.sessions.find(ONE)


def test_a_session_that_names_a_check_twice_in_other_capitals_ends(world: World) -> None:
    """Checks are found without regard to case: it was neither destroyed nor its node removed, for good."""
    world.apply(Session(SessionRequest(op="create", session=Row(id=ONE, node="n", node_checks=["up", "UP"]))))
    world.check(CRITICAL)
    assert world.store.sessions.all(None)[1] == ()


@pytest.mark.parametrize("behavior", ["release", "delete"])
def test_the_end_of_a_session_fires_the_watches_on_its_keys_and_on_their_prefixes(world: World, behavior: str) -> None:
    world.session(ONE, behavior=behavior)
    keys = ["a/1", "a/2", "b", "c\udce9"]
    for key in reversed(keys):
        world.kv("set", key, b"1")
        assert world.kv("lock", key, b"2", session=ONE) is True
    world.kv("set", "other", b"1")
    woken: list[str] = []
    for prefix in ("a/", "c", "o"):
        watch = WatchSet()
        world.store.kv.with_prefix(watch, prefix)
        world.store.watchers.wait(watch, lambda prefix=prefix: woken.append(prefix))
    world.apply(Session(SessionRequest(op="destroy", session=Row(id=ONE))))
    assert sorted(woken) == ["a/", "c"]
    index, left = world.store.kv.with_prefix(None, "")
    assert index == world.store.index
    if behavior == "delete":
        assert [entry.key for entry in left] == ["other"]
        assert world.store.kv.with_prefix(None, "a/")[0] == world.store.index, "tombstones"
    else:
        assert [(entry.key, entry.session) for entry in left] == [(key, "") for key in [*keys, "other"]]


def test_tombstones_are_reaped_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, 100,000 of them took seconds in one turn of the reactor: each moved all those behind it."""
    indexes = []
    for number in range(5):
        world.kv("set", f"a/{number}", b"1")
        world.kv("delete", f"a/{number}")
        indexes.append(world.store.index)
    monkeypatch.setattr(OrderedTable, "_replace", lambda *_: pytest.fail("one row was removed by itself"))
    world.apply(Tombstone(TombstoneRequest(reap_index=indexes[2])))
    assert [row.modify_index for row in world.store.kv.tombstones.table.all()] == indexes[3:]
