"""The table of prepared queries by id; found by name, by the longest prefix of a template, or by session."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from consulpy.errors import RPCError
from consulpy.state.change import TableChange
from consulpy.state.indexes import Indexes
from consulpy.state.prepared_query_template import check_template, is_template, render
from consulpy.state.table import Table
from consulpy.state.watch import WatchSet
from consulpy.structs.options import QuerySource
from consulpy.structs.prepared_query import PreparedQuery

QUERIES: Final = "prepared-queries"


class PreparedQueries:
    """Reads and changes of prepared queries. Reads return `(index, result)`."""

    def __init__(self, indexes: Indexes) -> None:
        self._indexes = indexes
        self.table: Table[PreparedQuery] = Table(
            QUERIES,
            name=lambda row: (row.name.lower(),) if row.name and not is_template(row) else (),
            template=lambda row: (row.name.lower(),) if is_template(row) else (),
            session=lambda row: (row.session,) if row.session else (),
        )

    def get(self, watch: WatchSet | None, query_id: str) -> tuple[int, PreparedQuery | None]:
        """A query by id."""
        return self._indexes.max(watch, QUERIES), self.table.get(query_id.lower())

    def all(self, watch: WatchSet | None) -> tuple[int, Sequence[PreparedQuery]]:
        """All queries, by id."""
        return self._indexes.max(watch, QUERIES), self.table.all()

    def resolve(self, id_or_name: str, source: QuerySource) -> PreparedQuery | None:
        """The query of an id or a name, rendered if it is a template; None if there is none. Raises `RPCError`."""
        by_id = self.table.get(id_or_name.lower())
        if by_id is not None:
            if is_template(by_id):
                raise RPCError("prepared query templates can only be resolved up by name, not by ID")
            return by_id
        wanted = id_or_name.lower()
        named = self.table.by("name", wanted)
        if named:
            return named[0]
        # Not one look-up for each prefix: a name of 64 KiB has as many, and they are 2 GiB of text.
        prefixes = [each for each in self.table.secondary_indexes["template"] if wanted.startswith(str(each))]
        if not prefixes:
            return None
        return render(self.table.by("template", max(prefixes, key=lambda each: len(str(each))))[0], id_or_name, source)

    def put(self, change: TableChange, query: PreparedQuery, *, has_session: bool = True) -> None:
        """Write a query. `has_session`: whether its session exists. Raises `RPCError`."""
        old = self.table.get(query.id.lower())
        self._check_name(query)
        if query.session and not has_session:
            raise RPCError(f'invalid session "{query.session}"')
        if is_template(query):
            check_template(query)
        new = dataclasses.replace(
            query, create_index=old.create_index if old is not None else change.index, modify_index=change.index
        )
        change.put(self.table, (query.id.lower(),), new)
        change.bump(QUERIES)

    def _check_name(self, query: PreparedQuery) -> None:
        name = query.name.lower()
        if name or is_template(query):
            same = (*(self.table.by("name", name) if name else ()), *self.table.by("template", name))
            if any(other.id != query.id for other in same):
                if not name:
                    raise RPCError("a query template with an empty name already exists")
                raise RPCError(f"name '{query.name}' aliases an existing query name")
        if name and self.table.get(name) is not None:
            raise RPCError(f"name '{query.name}' aliases an existing query ID")

    def remove(self, change: TableChange, query_id: str) -> None:
        """Remove a query if it exists."""
        if self.table.get(query_id.lower()) is not None:
            change.remove(self.table, (query_id.lower(),))
            change.bump(QUERIES)

    def remove_of_session(self, change: TableChange, session: str) -> None:
        """Remove the queries bound to a destroyed session."""
        for query in self.table.by("session", session):
            self.remove(change, query.id)
