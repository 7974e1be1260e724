"""Sends this node's network coordinate to the servers (Coordinate.Update), at a rate limited for the whole cluster.

All agents together send at most 64 updates a second; one agent every 15 s at most, plus a random part of up to as much
again (docs/wire/rpc.md section 9). Servers write the updates in batches.
"""

import math
from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.log import Logger
from consulpy.rpc.caller import Caller
from consulpy.structs.coordinate import Coord
from consulpy.structs.requests import CoordinateUpdateRequest

_log = Logger()

#: Shortest interval between two updates of one agent, in seconds.
INTERVAL_MIN_S: Final = 15.0
#: Updates per second of the whole cluster.
RATE_TARGET: Final = 64.0


def interval_s(cluster_size: int) -> float:
    """Seconds between updates, without the random part: max(15 s, members / 64 s)."""
    return max(INTERVAL_MIN_S, cluster_size / RATE_TARGET)


class CoordinateSender:
    """Sends the coordinate from `start` to `stop`.

    `coordinate()`: the current one, None while unknown. `cluster_size()`: members of the LAN pool.
    `supported()`: whether all servers cover protocol 3 (docs/wire/rpc.md 8); nothing is sent while they do not.
    """

    def __init__(
        self,
        caller: Caller,
        datacenter: str,
        node_name: str,
        clock: Clock,
        rng: Random,
        coordinate: Callable[[], Coord | None],
        cluster_size: Callable[[], int],
        *,
        segment: str = "",
        token: Callable[[], str] = lambda: "",
        supported: Callable[[], bool] = lambda: True,
    ) -> None:
        self._caller = caller
        self._datacenter = datacenter
        self._node_name = node_name
        self._clock = clock
        self._rng = rng
        self._coordinate = coordinate
        self._cluster_size = cluster_size
        self._segment = segment
        self._token = token
        self._supported = supported
        self._timer: Timer | None = None
        self._call: Deferred[Any] | None = None

    def start(self) -> None:
        """Start; the first update is sent after one interval."""
        if self._timer is None:
            self._schedule()

    def stop(self) -> None:
        """Stop; a running call is cancelled."""
        cancel_timer(self._timer)
        self._timer = None
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _schedule(self) -> None:
        interval = interval_s(self._cluster_size())
        self._timer = self._clock.callLater(interval + self._rng.uniform(0, interval), self._send)

    def _send(self) -> None:
        self._schedule()
        coordinate = self._coordinate() if self._supported() else None
        if self._call is not None or coordinate is None or not _is_finite(coordinate):
            return  # the last call is still running, or there is no coordinate
        request = CoordinateUpdateRequest(
            datacenter=self._datacenter,
            node=self._node_name,
            segment=self._segment,
            coord=coordinate,
            token=self._token(),
        )
        self._call = call = self._caller.call("Coordinate.Update", request)
        call.addErrback(self._failed).addBoth(self._done)
        if call.called:  # `_done` ran before the assignment above
            self._call = None

    def _failed(self, failure: Failure) -> None:
        if self._timer is not None:
            _log.warn("coordinate update failed: {error}", error=failure.getErrorMessage())

    def _done(self, _: object) -> None:
        self._call = None


def _is_finite(coordinate: Coord) -> bool:
    numbers = (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)
    return all(math.isfinite(number) for number in numbers)
