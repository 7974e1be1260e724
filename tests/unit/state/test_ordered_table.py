"""A table in the order of its keys' bytes: prefixes are read as a sorted list would have them."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from consulpy.state.ordered_table import OrderedTable


@dataclass(frozen=True)
class Row:
    key: str
    number: int


KEYS = st.text("a/b\xff\U0010ffff\udcff", max_size=4)


@given(st.lists(st.tuples(KEYS, st.integers(0, 3), st.booleans()), max_size=30), KEYS)
def test_a_prefix_gives_its_rows_as_they_stand_in_key_order(changes: list[tuple[str, int, bool]], prefix: str) -> None:
    table: OrderedTable[Row] = OrderedTable("rows")
    rows: dict[str, Row] = {}
    for key, number, removed in changes:
        table._replace((key,), None if removed else Row(key, number))
        rows.pop(key, None)
        if not removed:
            rows[key] = Row(key, number)

    in_order = sorted(rows.values(), key=lambda row: row.key.encode("utf-8", "surrogateescape"))
    raw = prefix.encode("utf-8", "surrogateescape")
    wanted = [row for row in in_order if row.key.encode("utf-8", "surrogateescape").startswith(raw)]
    assert table.with_prefix(prefix) == wanted
    assert table.all() == tuple(in_order)


@given(st.lists(KEYS, unique=True, max_size=20), KEYS)
def test_a_removed_prefix_leaves_the_table_as_if_each_key_was_removed_and_comes_back(
    keys: list[str], prefix: str
) -> None:
    def filled(keys: list[str]) -> OrderedTable[Row]:
        made: OrderedTable[Row] = OrderedTable("rows", odd=lambda row: (True,) if row.number % 2 else ())
        for key in keys:
            made._replace((key,), Row(key, all_keys.index(key)))
        return made

    def contents(table: OrderedTable[Row]) -> list[object]:
        rows = [table.all(), table.by("odd", True), len(table), sorted(table.unordered(), key=lambda row: row.number)]
        return [*rows, [table.get(key) for key in all_keys]]

    all_keys = keys
    table, raw = filled(keys), prefix.encode("utf-8", "surrogateescape")
    before = contents(table)
    removed = table._remove_prefix(prefix)
    kept = [key for key in keys if not key.encode("utf-8", "surrogateescape").startswith(raw)]
    assert contents(table) == contents(filled(kept))
    assert removed[0] == sorted(key.encode("utf-8", "surrogateescape") for key in set(keys) - set(kept))
    table._put_back(prefix, removed)
    assert contents(table) == before
    assert table._remove_keys(sorted(set(keys) - set(kept))) == removed
    assert contents(table) == contents(filled(kept))
    table._put_back_each("", removed)
    assert contents(table) == before
