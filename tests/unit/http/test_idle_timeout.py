"""Connections that nothing comes from are ended when their time is over, neither earlier nor later."""

from twisted.internet.task import Clock

from consulpy.http.connection.idle_timeout import IdleTimeouts

WITHIN_S = 60.0


class Connection:
    """Notes when it was told that nothing came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ended_s: float | None = None

    def timed_out(self) -> None:
        self.ended_s = self._clock.seconds()


def test_each_is_ended_after_its_own_time_with_one_timer() -> None:
    clock = Clock()
    idle = IdleTimeouts(clock, WITHIN_S)
    connections = [Connection(clock) for _ in range(5)]
    for connection in connections:
        idle.start(connection)
        assert len(clock.getDelayedCalls()) == 1
        clock.advance(1)

    clock.pump([0.5] * 200)

    assert [connection.ended_s for connection in connections] == [60, 61, 62, 63, 64]
    assert len(idle) == 0
    assert clock.getDelayedCalls() == []


def test_who_stirs_is_not_ended_and_may_rest_again() -> None:
    clock = Clock()
    idle = IdleTimeouts(clock, WITHIN_S)
    first, second = Connection(clock), Connection(clock)
    idle.start(first)
    idle.start(second)
    clock.advance(30)
    idle.cancel(first)
    idle.cancel(first)
    idle.start(first)

    clock.pump([0.5] * 200)

    assert (first.ended_s, second.ended_s) == (90, 60)


def test_closing_leaves_everybody_alone() -> None:
    clock = Clock()
    idle = IdleTimeouts(clock, WITHIN_S)
    connection = Connection(clock)
    idle.start(connection)

    idle.close()
    clock.advance(2 * WITHIN_S)

    assert connection.ended_s is None
    assert clock.getDelayedCalls() == []
