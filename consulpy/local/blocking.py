"""Hash-based blocking queries for a service of this agent (`?hash=`).

The client sends the `ContentHash` of its last response; the query blocks while the service has the same hash.
"""

from typing import Final

from twisted.internet.defer import Deferred

from consulpy.clock import cancel_timer
from consulpy.errors import BadRequest
from consulpy.gocompat.json_decode import GoError, decode_duration
from consulpy.local import api
from consulpy.local.api import Answer
from consulpy.local.state import LocalState
from consulpy.state.watch import WatchSet

#: Default and maximum of `?wait=` in seconds, to which up to a sixteenth is added at random.
WAIT_S: Final = 600.0
_JITTER: Final = 1 / 16


def parse_wait(text: str) -> float:
    """Seconds in `?wait=`. Raises `BadRequest`."""
    if not text:
        return WAIT_S
    try:
        wait_s = decode_duration(text) / 1e9
    except GoError:
        raise BadRequest("Invalid wait time") from None
    return min(wait_s, WAIT_S) if wait_s > 0 else WAIT_S


async def service(local: LocalState, service_id: str, known: str, wait: str) -> Answer:
    """GET /v1/agent/service/ID?hash=`known`&wait=`wait`: blocks while the hash is `known`.

    Raises `NotFound`, also when the service is deregistered meanwhile, and `BadRequest`. Cancellable.
    """
    clock = local.entries.clock
    wait_s = parse_wait(wait) if known else 0.0
    end_s = clock.seconds() + wait_s * (1 + local.entries.rng.random() * _JITTER)
    while True:
        answer = api.service(local, service_id)
        left_s = end_s - clock.seconds()
        if answer.body["ContentHash"] != known or left_s <= 0:
            return answer
        await _wait_for_change(local, service_id, left_s)


async def _wait_for_change(local: LocalState, service_id: str, within_s: float) -> None:
    """Wait for the next change of the service, at most `within_s` seconds."""
    changed: Deferred[None] = Deferred(lambda _: None)

    def fire() -> None:
        if not changed.called:
            changed.callback(None)

    watch = WatchSet()
    watch.add(("service", service_id))
    waiter = local.entries.watchers.wait(watch, fire)
    timer = local.entries.clock.callLater(within_s, fire)
    try:
        await changed
    finally:
        waiter.cancel()
        cancel_timer(timer)
