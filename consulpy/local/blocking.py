"""Wait until a service of this agent shows something else than the reader knows (`?hash=`).

The reader sends back the `ContentHash` that it was given; unlike an index it says what it knows, not how much.
"""

from typing import Final

from twisted.internet.defer import Deferred

from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, decode_duration
from consulpy.local import api
from consulpy.local.api import Answer
from consulpy.local.state import LocalState
from consulpy.state.watch import WatchSet

#: How long a reader waits who does not say, and at most, in seconds; up to a sixteenth is added at random.
WAIT_S: Final = 600.0
_JITTER: Final = 1 / 16


def wait_of(text: str) -> float:
    """Seconds in `?wait=`. Raises `BadRequest`."""
    if not text:
        return WAIT_S
    try:
        wait_s = decode_duration(text) / 1e9
    except GoError:
        raise BadRequest("Invalid wait time") from None
    return min(wait_s, WAIT_S) if wait_s > 0 else WAIT_S


async def service(local: LocalState, service_id: str, known: str, wait: str) -> Answer:
    """GET /v1/agent/service/ID?hash=`known`&wait=`wait`: at once, unless the service shows just what is known.

    Raises `NotFound`, also when the service goes while it is waited for, and `BadRequest`. Cancelling ends the wait.
    """
    clock = local.entries.clock
    wait_s = wait_of(wait) if known else 0.0
    end_s = clock.seconds() + wait_s * (1 + local.entries.rng.random() * _JITTER)
    while True:
        answer = api.service(local, service_id)
        left_s = end_s - clock.seconds()
        if answer.body["ContentHash"] != known or left_s <= 0:
            return answer
        await _change(local, service_id, left_s)


async def _change(local: LocalState, service_id: str, within_s: float) -> None:
    """The next change of the service, or the end of the time."""
    woken: Deferred[None] = Deferred(lambda _: None)

    def wake() -> None:
        if not woken.called:
            woken.callback(None)

    watch = WatchSet()
    watch.add(("service", service_id))
    waiter = local.entries.watchers.wait(watch, wake)
    timer = local.entries.clock.callLater(within_s, wake)
    try:
        await woken
    finally:
        waiter.cancel()
        if timer.active():
            timer.cancel()
