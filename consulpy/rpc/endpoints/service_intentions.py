"""`service-intentions` on the servers: all intentions of a destination are written by one command of the log, or none.

Newer agents (Consul 1.9) ask for the entry by `ConfigEntry.*`. Several intentions are a transaction, whose operations
of intentions 1.8.7 knows: leaders of secondary datacenters copy intentions so. A condition is compared by the leader
while no other intention is written.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from consulpy.errors import RPCError
from consulpy.gocompat.time import go_time
from consulpy.rpc.uuids import new_uuid
from consulpy.state.commands import Command, Txn
from consulpy.state.commands import Intention as IntentionCommand
from consulpy.state.watch import WatchSet
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.intention import Intention, IntentionRequest, hash_of
from consulpy.structs.service_intentions import ServiceIntentions, check, entries_of, intentions_of, of_destination
from consulpy.structs.txn import TxnOp, TxnReply, TxnRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def entries(server: "Server", watch: WatchSet | None, name: str = "") -> tuple[int, Sequence[ServiceIntentions]]:
    """The index of intentions, and the entries of all destinations, or of one."""
    index, rows = server.store.intentions.all(watch)
    return index, entries_of(of_destination(rows, name) if name else rows)


def put(server: "Server", request: EntryRequest, *, is_conditional: bool) -> Any:
    """Make the intentions of a destination those of the entry; a Deferred of whether its condition held.

    `is_conditional`: only if the entry's index is `request.entry.modify_index` (0: there is none). Raises `RPCError`
    with all errors of an entry that is not valid.
    """
    entry = request.entry
    check(entry)

    def write() -> Any:
        known = of_destination(server.store.intentions.all(None)[1], entry.name)
        if is_conditional and not is_at(known, entry.modify_index):
            return False
        written, removed = intentions_of(entry, known)
        return _submit(server, request, removed, [_stamped(server, each) for each in written])

    return server.intention_writes.run(write)


def remove(server: "Server", request: EntryRequest, *, is_conditional: bool) -> Any:
    """Remove all intentions of a destination; a Deferred of whether its condition held."""
    entry = request.entry

    def write() -> Any:
        known = of_destination(server.store.intentions.all(None)[1], entry.name)
        if is_conditional and (not known or not is_at(known, entry.modify_index)):
            return False
        return _submit(server, request, known, [])

    return server.intention_writes.run(write)


def is_at(known: list[Intention], index: int) -> bool:
    """Whether the entry of these intentions has that index; 0: whether there is none."""
    return index == (entries_of(known)[0].modify_index if known else 0)


def _stamped(server: "Server", intention: Intention) -> tuple[str, Intention]:
    """The operation and the intention as it is stored."""
    op, now = "update", go_time(server.wall_s())
    if not intention.id:
        op, intention.id, intention.created_at = "create", new_uuid(server.rng), now
    intention.updated_at = now
    intention.hash = hash_of(intention)
    return op, intention


def _submit(
    server: "Server", request: EntryRequest, removed: list[Intention], written: list[tuple[str, Intention]]
) -> Any:
    datacenter = request.datacenter or server.datacenter
    changes = [("delete", Intention(id=each.id)) for each in removed] + written
    bodies = [IntentionRequest(datacenter, request.token, op, intention) for op, intention in changes]
    if not bodies:
        return True
    command: Command = IntentionCommand(bodies[0])
    if len(bodies) > 1:
        command = Txn(TxnRequest(datacenter, request.token, [TxnOp(intention=body) for body in bodies]))
    return server.submit(command).addCallback(_done)


def _done(result: Any) -> bool:
    if isinstance(result, TxnReply) and result.errors:
        raise RPCError("; ".join(error.what for error in result.errors))
    return True
