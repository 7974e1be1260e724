"""When all connections are in use a new one gets the place of the one idle for longest, never of a busy one."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consulpy.connections import SCAN_MAX, ConnectionTable, total_for


class Connection:
    def __init__(self, busy: bool = False) -> None:
        self.busy, self.evicted = busy, False

    def is_idle(self) -> bool:
        return not self.busy

    def evict(self) -> None:
        assert not self.evicted
        self.evicted = True


def entered(table: ConnectionTable, count: int, client: str = "10.0.0.1", **options: Any) -> list[Connection]:
    made = [Connection(**options) for _ in range(count)]
    for each in made:
        assert table.add(each, "http", client)
    return made


def test_the_one_that_was_idle_for_longest_goes() -> None:
    table = ConnectionTable(3)
    first, second, third = entered(table, 3)
    table.record_activity(first)
    (fourth,) = entered(table, 1)
    assert [each.evicted for each in (first, second, third, fourth)] == [False, True, False, False]
    assert (len(table), table.evicted) == (3, 1)


def test_who_waits_for_an_answer_stays_and_when_all_do_nobody_else_comes_in() -> None:
    table = ConnectionTable(3)
    entered(table, 2, busy=True)
    (idle,) = entered(table, 1)
    entered(table, 1, busy=True)
    assert idle.evicted
    assert not table.add(Connection(), "http", "10.0.0.2")
    assert len(table) == 3


def test_busy_ones_in_front_hide_no_idle_one_for_ever() -> None:
    table = ConnectionTable(2 * SCAN_MAX + 1)
    entered(table, 2 * SCAN_MAX, busy=True)
    (idle,) = entered(table, 1)
    assert any(table.evict_idle() for _ in range(4))
    assert idle.evicted


def test_a_place_can_be_made_among_those_of_one_client_or_listener() -> None:
    table = ConnectionTable(100)
    (other,) = entered(table, 1, "10.0.0.2")
    mine = entered(table, 2)
    assert table.evict_idle("http", "10.0.0.1")
    assert (other.evicted, mine[0].evicted, mine[1].evicted) == (False, True, False)
    assert not table.evict_idle("dns")


def test_it_says_when_it_is_full() -> None:
    said: list[int] = []
    table = ConnectionTable(2, lambda: said.append(1))
    entered(table, 2)
    assert not said
    entered(table, 2)
    assert len(said) == 2


def test_a_connection_that_changes_its_object_is_still_counted_once() -> None:
    table = ConnectionTable(9)
    (before,) = entered(table, 1)
    now = Connection()
    table.replace(before, now)
    table.remove(before)
    assert table.of_client("http", "10.0.0.1") == 1
    table.remove(now)
    table.remove(now)
    assert (len(table), table.of_client("http", "10.0.0.1"), table.of_listener("http")) == (0, 0, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "record_activity", "busy"]), st.integers(0, 9), st.integers(0, 2))
    )
)
def test_counts_are_those_of_the_open_ones(steps: list[tuple[str, int, int]]) -> None:
    table = ConnectionTable(5)
    known: dict[int, tuple[Connection, str]] = {}
    for what, number, client in steps:
        if what == "add" and number not in known:
            made = Connection()
            if table.add(made, "dns", str(client)):
                known[number] = made, str(client)
        elif number in known:
            connection = known[number][0]
            if what == "busy":
                connection.busy = not connection.busy
            elif what != "add":
                getattr(table, what)(connection)
                if what == "remove":
                    del known[number]
        known = {key: value for key, value in known.items() if not value[0].evicted}
        assert len(table) == table.of_listener("dns") == len(known) <= 5
        for client_name in "012":
            assert table.of_client("dns", client_name) == sum(each[1] == client_name for each in known.values())


def test_some_descriptors_are_never_given_to_clients() -> None:
    assert [total_for(limit) for limit in (64, 1024, 65_536, 16)] == [8, 854, 64_512, 8]
