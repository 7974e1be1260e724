"""Raft commands of Connect's CA (docs/wire/connect.md). Keys, certificates and times are made before submission."""

from typing import Any, Final

from consulpy.errors import RPCError
from consulpy.state.command import IGNORE_IF_UNKNOWN, BodyCommand
from consulpy.state.store import Change, Store
from consulpy.structs import connect_ca as structs


class ConnectCA(BodyCommand):
    """Change the state of the CA. The result: the serial for an increment, else whether it was written."""

    TYPE = 13
    BODY = structs.CARequest

    def apply(self, store: Store, index: int) -> Any:
        """See `state.connect_ca.ConnectCA`."""
        with store.change(index) as change:
            return _apply(store, change, self.body)

    def __repr__(self) -> str:
        return f"ConnectCA({self.body.op})"  # the body may hold private keys


def _apply(store: Store, change: Change, request: structs.CARequest) -> Any:
    table = store.connect_ca
    if request.op == structs.SET_CONFIG:
        config = _needed(request.config, request.op)
        return table.set_configuration(change, config, read_index=config.modify_index or None)
    if request.op == structs.SET_ROOTS:
        return table.set_roots(change, request.index, request.roots or [])
    if request.op == structs.SET_ROOTS_CONFIG:
        config = _needed(request.config, request.op)
        if not table.set_roots(change, request.index, request.roots or []):
            return False
        # as in Consul: the configuration's index is one more than the entry's
        return table.set_configuration(change, config, read_index=config.modify_index, index=change.index + 1)
    if request.op == structs.INCREMENT_SERIAL:
        return table.next_serial(change)
    state = _needed(request.provider_state, request.op)
    if request.op == structs.SET_PROVIDER_STATE:
        table.set_provider_state(change, state)
        return True
    if request.op == structs.DELETE_PROVIDER_STATE:
        table.delete_provider_state(change, state.id)
        return True
    raise RPCError(f"Invalid CA operation '{request.op}'")


def _needed(body: Any, op: str) -> Any:
    if body is None:
        raise RPCError(f"Invalid CA operation '{op}'")
    return body


class ConnectCALeaf(BodyCommand):
    """Reserves an index for a certificate; the result is that index."""

    TYPE = 21 | IGNORE_IF_UNKNOWN
    BODY = structs.CALeafRequest

    def apply(self, store: Store, index: int) -> int:
        """Only the index changes."""
        with store.change(index):
            if self.body.op != structs.INCREMENT_INDEX:
                raise RPCError(f"Invalid CA Leaf operation '{self.body.op}'")
        return index


CONNECT_COMMANDS: Final = (ConnectCA, ConnectCALeaf)
