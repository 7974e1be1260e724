"""What a leader of ours proposes for calls with anything in them: a real follower outlives it, with the same state."""

import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgpack import ExtType, Timestamp
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack, unpack
from consulpy.errors import ConsulpyError, RPCError
from consulpy.rpc.dispatch import serve
from consulpy.rpc.server import Server
from consulpy.state.commands import Command, decode
from consulpy.state.snapshot import INDEX, Snapshot
from consulpy.state.store import Store
from tests.harness.rpc import make_server
from tests.harness.vectors import bodies_of
from tests.peers.follower import MARK, RealFollower
from tests.peers.programs import hosts

pytestmark = [pytest.mark.peers]

SEED = int(os.environ.get("CONSULPY_SEED", "1"))
CALLS = 4000
METHODS = (
    *("Catalog.Register", "Catalog.Deregister", "KVS.Apply", "Session.Apply", "Txn.Apply", "PreparedQuery.Apply"),
    *("Intention.Apply", "Operator.AutopilotSetConfiguration", "Coordinate.Update"),
)
ODD: list[Any] = [
    *(None, b"", b"x", b"\xff", 0, 1, -1, 255, 2**63 - 1, 2**63, 2**64 - 1, 1.5, float("nan"), True, False),
    *([], {}, [None], {b"a": None}, [{}], [[]], {b"a": {b"b": 1}}, {1: 2}, ExtType(5, b"x"), Timestamp(1, 0)),
]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values inside a value."""
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from places(inner, (*at, key))


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    changed = copy.copy(value)
    changed[at[0]] = replaced(value[at[0]], at[1:], new)
    return changed


def proposed(server: Server, rng: random.Random) -> list[bytes]:
    """The commands that calls with some values replaced lead to."""
    bodies = {method: bodies_of(method) for method in METHODS}
    commands: list[bytes] = []
    submit = server.log.submit

    def noted(command: Command, done: Any) -> None:
        commands.append(command.encode())
        submit(command, done)

    server.log.submit = noted  # type: ignore[method-assign]
    for _ in range(CALLS):
        method = rng.choice(METHODS)
        body = rng.choice(bodies[method])
        for _ in range(rng.choice([0, 1, 1, 2])):
            body = replaced(body, rng.choice(list(places(body))), copy.deepcopy(rng.choice(ODD)))
        serve(server, method, unpack(pack(body))).addErrback(lambda failure: failure.trap(RPCError))
    return commands


def shown(value: Any) -> str:
    """The same text for equal values; Go writes its maps in random order."""
    if isinstance(value, dict):
        known = {
            key: inner for key, inner in value.items() if key != b"SidecarService"
        }  # newer checks have more fields
        return f"{{{','.join(sorted(f'{key!r}:{shown(inner)}' for key, inner in known.items()))}}}"
    return f"[{','.join(map(shown, value))}]" if isinstance(value, list) else repr(value)


def state_of(records: list[tuple[int, Any]]) -> set[str]:
    """The rows of a state, without indexes of tables, which differ where ours are finer, and this test's key."""
    rows = [each for each in records if each[0] not in (INDEX, 29)]
    return {f"{kind} {shown(row)}" for kind, row in rows if not (kind == 2 and row[b"Key"] == MARK.encode())}


def test_a_real_follower_outlives_what_is_proposed_and_has_the_same_state(tmp_path: Path) -> None:
    print(f"CONSULPY_SEED={SEED}")
    commands = proposed(make_server(Clock()), random.Random(SEED))
    assert len(commands) > 200
    with hosts(tmp_path, None) as (host,):
        real = RealFollower(host, "real", "127.46.0.1", "127.46.0.9")
        store, first = Store(), real.index + 1
        assert real.apply(commands), real.program.output[-3000:]
        for index, data in enumerate(commands, first):
            try:
                decode(data).apply(store, index)
            except ConsulpyError:
                store.index = index
        ours = state_of([(record[0], unpack(record[1:])) for record in Snapshot.of(store).records()])
        assert ours == state_of(real.records())
