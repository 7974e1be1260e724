"""A change in which nothing may change, for transactions that only read: their writes are errors, in its words."""

from collections.abc import Hashable
from typing import Final, NoReturn

from consulpy.errors import RPCError
from consulpy.state.ordered_table import OrderedTable
from consulpy.state.session import SESSIONS
from consulpy.state.store import Change
from consulpy.state.table import Key, Row, Table

_INSERT: Final = "cannot insert in read-only transaction"
_DELETE: Final = "cannot delete in read-only transaction"
#: What Consul calls the insertion of a row into a table.
_INSERTING: Final = {
    "kvs": "failed inserting kvs entry",
    "nodes": "failed inserting node",
    "services": "failed inserting service",
    "checks": "failed inserting check",
    "tombstones": "failed adding to graveyard: failed inserting tombstone",
}
_UPDATING: Final = "failed updating index"


class ReadOnlyChange(Change):
    """Reads the state; whatever would change it raises `RPCError`, before anything is changed."""

    __slots__ = ()

    def put(self, table: Table[Row], key: Key, row: Row) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise RPCError(f"{_INSERTING.get(table.name, _UPDATING)}: {_INSERT}")

    def remove(self, table: Table[Row], key: Key) -> NoReturn:  # noqa: ARG002
        """Refused."""
        what = "failed deleting session" if table.name == SESSIONS else _UPDATING
        raise RPCError(f"{what}: {_DELETE}")

    def remove_rows(self, table: Table[Row], keys: list[Key]) -> None:
        """Refused, if there are any."""
        if keys:
            self.remove(table, keys[0])

    def put_rows(self, table: OrderedTable[Row], raw_keys: list[bytes], rows: list[Row]) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise RPCError(f"{_INSERTING.get(table.name, _UPDATING)}: {_INSERT}")

    def remove_prefix(self, table: OrderedTable[Row], prefix: str) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise RPCError(f"failed recursive deleting kvs entry: {_DELETE}")

    def remove_keys(self, table: OrderedTable[Row], raw_keys: list[bytes]) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise RPCError(f"failed recursive deleting kvs entry: {_DELETE}")

    def _set_index(self, key: Hashable, index: int) -> NoReturn:  # noqa: ARG002
        raise RPCError(f"{_UPDATING}: {_INSERT}")
