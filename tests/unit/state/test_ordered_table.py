"""A table in the order of its keys' bytes: prefixes are read as a sorted list would have them."""

from collections.abc import Iterable
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


def _raw(keys: Iterable[str]) -> list[bytes]:
    return sorted(key.encode("utf-8", "surrogateescape") for key in keys)


def _key(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _filled(rows: dict[str, int]) -> OrderedTable[Row]:
    table: OrderedTable[Row] = OrderedTable("rows", odd=lambda row: (True,) if row.number % 2 else ())
    for key, number in rows.items():
        table._replace((key,), Row(key, number))
    return table


def _contents(table: OrderedTable[Row], keys: Iterable[str]) -> list[object]:
    rows = [table.all(), table.by("odd", True), len(table), sorted(table.unordered(), key=lambda row: row.key)]
    return [*rows, [table.get(key) for key in keys]]


@given(st.lists(KEYS, unique=True, max_size=20), KEYS)
def test_a_removed_prefix_leaves_the_table_as_if_each_key_was_removed_and_comes_back(
    keys: list[str], prefix: str
) -> None:
    numbers = {key: number for number, key in enumerate(keys)}
    table, raw = _filled(numbers), prefix.encode("utf-8", "surrogateescape")
    before = _contents(table, keys)
    removed = table._remove_prefix(prefix)
    kept = {key: number for key, number in numbers.items() if not _raw([key])[0].startswith(raw)}
    assert _contents(table, keys) == _contents(_filled(kept), keys)
    assert removed[0] == _raw(set(keys) - set(kept))
    table._undo_remove((), removed)
    assert _contents(table, keys) == before
    assert table._remove_keys(_raw(set(keys) - set(kept))) == removed
    assert _contents(table, keys) == _contents(_filled(kept), keys)
    table._undo_remove((), removed)
    assert _contents(table, keys) == before


@given(st.dictionaries(KEYS, st.integers(0, 3), max_size=20), st.dictionaries(KEYS, st.integers(4, 7), max_size=20))
def test_rows_that_are_put_together_stand_as_if_each_was_put_and_can_be_undone(
    old: dict[str, int], new: dict[str, int]
) -> None:
    table, keys = _filled(old), [*old, *new]
    before = _contents(table, keys)
    raw_keys = _raw(new)
    replaced = table._put_rows(raw_keys, [Row(_key(raw), new[_key(raw)]) for raw in raw_keys])
    assert _contents(table, keys) == _contents(_filled(old | new), keys)
    assert replaced[0] == _raw(set(old) & set(new))
    table._undo_put_rows(raw_keys, replaced)
    assert _contents(table, keys) == before
