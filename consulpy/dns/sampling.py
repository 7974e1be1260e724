"""Answers for services of many instances: only as many are looked at as an answer can hold, over several turns. Pure.

Real Consul sends what fits of a random permutation too, but computes all of it.
"""

from collections.abc import Callable, Generator, Sequence
from random import Random
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.names import dns

from consulpy.clock import Clock
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.dns import answer as answers
from consulpy.dns.config import DnsConfig
from consulpy.dns.dual_stack import with_address_for
from consulpy.dns.load_balance import ShuffledAnswer, key_of
from consulpy.dns.wire import Question
from consulpy.structs.service import CheckServiceNode

#: Instances up to this number are all looked at for an answer.
ALL_MAX: Final = 1000
#: How long one computation keeps a turn of the reactor, in seconds.
SLICE_S: Final = 0.005
#: Instances of a step of a sample: less than a millisecond.
_OF_A_STEP: Final = 64

_Result = TypeVar("_Result")
#: Yields where a turn may end.
Steps = Generator[None, None, _Result]


class Turns:
    """Runs long computations over several turns of the reactor; without a clock in one."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock

    async def run(self, steps: Steps[_Result]) -> _Result:
        """The result of `steps`."""
        while True:
            ends_s = self._clock.seconds() + SLICE_S if self._clock is not None else 0.0
            try:
                next(steps)
                while self._clock is None or self._clock.seconds() < ends_s:
                    next(steps)
            except StopIteration as end:
                result: _Result = end.value
                return result
            turn: Deferred[Any] = Deferred()
            self._clock.callLater(0, turn.callback, None)
            await turn


AT_ONCE: Final = Turns(None)


@dataclass(slots=True)
class Sample:
    """Instances with different records, in random order, and what tells these apart.

    `is_empty`: whether none of all may serve. `looked_at`: how many were looked at. `has_more`: whether there are more
    than an answer can hold. `has_names`: whether an address is a host name.
    """

    rows: list[CheckServiceNode]
    keys: list[object]
    is_empty: bool = True
    looked_at: int = 0
    has_more: bool = False
    has_names: bool = False


@dataclass(slots=True)
class SampledAnswer:
    """A packet with a sample. `count`: of records; `shuffle()`: another such packet, None if that takes long."""

    packet: bytes
    count: int
    shuffle: Callable[[], bytes] | None


class ManyInstances:
    """The instances of a service, of which an answer holds a sample. `wan`: whether addresses are translated."""

    def __init__(
        self,
        question: Question,
        rows: Sequence[CheckServiceNode],
        config: DnsConfig,
        ttl: int,
        rng: Random,
        *,
        udp: bool,
        wan: bool,
    ) -> None:
        self._question, self._rows, self._config, self._ttl, self._rng = question, rows, config, ttl, rng
        self._udp, self._wan = udp, wan
        self._name = question.name.lower().removesuffix(".")
        _, self._most = answers.limits(question, config, udp=udp)
        #: Whether what does not fit is left out by a setting, without a word.
        self.is_limited = question.kind != dns.SRV and 0 < config.a_record_limit <= self._most
        if self.is_limited:
            self._most = config.a_record_limit

    def sample(self) -> Steps[Sample]:
        """Draw as many instances as an answer can hold."""
        numbers, drawn = list(range(len(self._rows))), Sample([], [])
        wanted: dict[str, bool] = {}
        seen: set[object] = set()
        for at in range(len(numbers)):
            other = self._rng.randrange(at, len(numbers))
            numbers[at], numbers[other] = numbers[other], numbers[at]
            drawn.looked_at += 1
            row = self._rows[numbers[at]]
            if answers.may_serve(row, self._config.only_passing):
                drawn.is_empty = False
                row = with_address_for(row, self._question.kind, wan=self._wan)
                row = answers.with_other_address(row, self._name)
                key = key_of(self._question, row, wanted)
                address = answers.address_of(row)
                has_name = not wanted.get(address) and answers.ip_of(address) is None
                key = key or (has_name and address) or None
                if key is not None and key not in seen:
                    if len(drawn.rows) == self._most:
                        drawn.has_more = True
                        return drawn
                    seen.add(key)
                    drawn.rows.append(row)
                    drawn.keys.append(key)
                    drawn.has_names |= has_name
            if at % _OF_A_STEP == 0:
                yield
        return drawn

    def answer(self, drawn: Sample) -> Steps[ShuffledAnswer | SampledAnswer | None]:
        """The answer with a sample of instances with IP addresses; None if no record is of the requested type."""
        answer = self._shuffled(drawn)
        if not answer.count:
            return None
        order = range(len(drawn.rows))
        yield from answer.encoded(order)
        if not drawn.has_more:
            return answer
        draws_again = drawn.looked_at <= ALL_MAX
        return SampledAnswer(answer.packet(order), answer.count, self._draw_again if draws_again else None)

    def _draw_again(self) -> bytes:
        drawn = _result(self.sample())
        if drawn.has_names:
            raise ValueError("host names are resolved on the full path")
        return self._shuffled(drawn).packet(range(len(drawn.rows)))

    def _shuffled(self, drawn: Sample) -> ShuffledAnswer:
        return ShuffledAnswer(
            self._question,
            drawn.rows,
            self._config,
            self._ttl,
            self._rng,
            udp=self._udp,
            keys=drawn.keys,
            has_more=drawn.has_more,
        )


def _result(steps: Steps[_Result]) -> _Result:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result
