"""Filters of results: by node metadata, by expression; and the order by distance.

Nil and empty differ on the wire: a result without rows is nil, a filtered one is an empty list (docs/wire/rpc.md 5).
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from consulpy.codec.record import Record
from consulpy.filter import compile_filter
from consulpy.rpc.long_read import LongRead, Steps
from consulpy.state.catalog import has_meta
from consulpy.structs.coordinate import Coord
from consulpy.structs.options import QueryMeta, QuerySource

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

Row = TypeVar("Row", bound=Record)


class WithMeta(Protocol):
    """A reply with metadata."""

    meta: QueryMeta


AnyReply = TypeVar("AnyReply", bound=WithMeta)

#: Rows that are filtered in the turn of the read; more take several turns. 10 microseconds a row are much.
ROWS_AT_ONCE: Final = 1000
#: Rows of a step of a long read: about a millisecond.
ROWS_OF_A_STEP: Final = 128


def on_nodes_with(
    server: "Server", rows: Sequence[Row], meta: dict[str, str] | None, node_of: Callable[[Row], str]
) -> Sequence[Row]:
    """The rows whose node has all of `meta`."""
    if not meta:
        return rows
    nodes = server.store.catalog.nodes_table
    return [row for row in rows if has_meta(nodes.get(node_of(row).lower()), meta)]


def filtered(
    reply: AnyReply, rows: Sequence[Row], expression: str, kind: type[Row], fill: Callable[[list[Row] | None], None]
) -> AnyReply | LongRead:
    """`reply`, which `fill` puts the rows into that match the expression: nil if there is no expression and no row.

    For many rows it is a `LongRead`. Raises `RPCError` for a bad expression, even without rows.
    """
    if not expression:
        fill(list(rows) or None)
        return reply
    holds = _compiled(expression, cast(Any, kind))
    if len(rows) > ROWS_AT_ONCE:
        return LongRead(reply.meta, _steps(reply, rows, holds, fill))
    fill([row for row in rows if holds(row)])
    return reply


def _steps(reply: Any, rows: Sequence[Row], holds: Callable[[Row], bool], fill: Callable[[list[Row]], None]) -> Steps:
    matching: list[Row] = []
    for at in range(0, len(rows), ROWS_OF_A_STEP):
        matching += [row for row in rows[at : at + ROWS_OF_A_STEP] if holds(row)]
        yield
    fill(matching)
    return reply


@lru_cache(maxsize=256)
def _compiled(expression: str, kind: type[Any]) -> Callable[[Any], bool]:
    """The compiled expression, cached: a blocking query evaluates it after each change."""
    return compile_filter(expression, kind)


def nearest_first(
    server: "Server", rows: list[Row] | None, source: QuerySource, node_of: Callable[[Row], str]
) -> list[Row] | None:
    """The rows sorted by the distance of their nodes from `source.node`; those without coordinates come last.

    Unsorted if there is no `source.node`, or it has no coordinate.
    """
    if not rows or not source.node or source.datacenter not in ("", server.datacenter):
        return rows
    coordinates = server.store.coordinates
    here = coordinates.by_segment(source.node)
    if not here:
        return rows
    known: dict[str, float] = {}

    def distance(row: Row) -> float:
        node = node_of(row)
        if node not in known:
            known[node] = _distance_between(here, coordinates.by_segment(node))
        return known[node]

    return sorted(rows, key=distance)


def _distance_between(here: dict[str, Coord], there: dict[str, Coord]) -> float:
    """The distance in seconds, in the first common network segment; infinite if there is none."""
    for segment in sorted(here):
        if segment in there:
            return distance_s(here[segment], there[segment])
    return math.inf


def distance_s(one: Coord, other: Coord) -> float:
    """The estimated round trip between two coordinates, in seconds (docs/wire/gossip.md, Vivaldi)."""
    if len(one.vec) != len(other.vec):
        return math.inf
    raw = math.dist(one.vec, other.vec) + one.height + other.height
    adjusted = raw + one.adjustment + other.adjustment
    return adjusted if adjusted > 0 else raw
