"""Joins of a pool: on request, once at start (`start_join`), or repeated until one succeeds (`retry_join`).

Source: docs/wire/gossip.md 6.8 and 9.6; the texts are Consul's.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from consulpy.agent.features.addresses import JoinAddress, resolve
from consulpy.backoff import backoff_s
from consulpy.clock import Clock, cancel_timer, pause
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.config.schema import RuntimeConfig
from consulpy.diagnosis.causes import Cause, Verdict
from consulpy.errors import ConfigError, RPCError
from consulpy.gocompat.multierror import format_errors
from consulpy.log import Logger
from consulpy.memberlist.member import JoinTarget
from consulpy.serf.machine import Serf

#: The first pause of a retried join, in seconds; it doubles up to the configured interval. (Consul waits the whole
#: interval at once, so two agents that start together find each other half a minute late.)
FIRST_RETRY_S: Final = 1.0
#: A join that takes longer than this is looked into while it goes on, in seconds.
EXPLAIN_AFTER_S: Final = 0.5
#: Addresses of a failed join that are explained, at most.
EXPLAINED_MAX: Final = 3
#: Causes that make it useless to wait for an answer.
_HOPELESS: Final = frozenset(
    {Cause.NOT_GOSSIP, Cause.WAN_PORT, Cause.NOT_CONSUL, Cause.KEY_MISMATCH, Cause.ENCRYPTION_MISMATCH}
    | {Cause.WRONG_DATACENTER, Cause.NO_ROUTE, Cause.NOTHING_LISTENS, Cause.PROCESS_GONE, Cause.TCP_BLOCKED}
)


@dataclass(slots=True)
class JoinStatus:
    """State of the joins of a pool."""

    attempts: int = 0
    worked: bool = False
    last_error: str = ""


#: Says why a join to an address fails.
Explain = Callable[[str], Awaitable[Verdict]]


async def join(
    reactor: Any, serf: Serf, addresses: Sequence[str], default_port: int, explain: Explain | None = None
) -> int:
    """Join `serf`'s pool through any of `addresses`; how many of them worked.

    Raises `RPCError` when none did, its text naming each address and why, with the causes that `explain` finds. A join
    that waits for an answer that can't come is given up as soon as that is known.
    """
    targets: list[JoinTarget] = []
    errors: list[str] = []
    for text in addresses:
        try:
            parsed = JoinAddress.parse(text, default_port)
            hosts = await resolve(reactor, parsed.host)
            targets += [JoinTarget((host, parsed.port), parsed.name) for host in hosts]
        except ConfigError as error:
            errors.append(f"Failed to resolve {text}: {error}")
    joined = 0
    causes = _Causes(addresses, explain)
    if targets:
        finished: Deferred[tuple[int, list[str]]] = Deferred()

        def end(count: int, why: list[str]) -> None:
            if not finished.called:
                finished.callback((count, why))

        serf.join(targets, True, end)
        early = reactor.callLater(EXPLAIN_AFTER_S, causes.ask, end) if explain is not None else None
        try:
            joined, why = await finished
        finally:
            cancel_timer(early)
        errors += why
    if not joined:
        raise RPCError(format_errors(errors or ["no address to join was given"]) + await causes.text())
    return joined


class _Causes:
    """The causes of failed addresses of one join, each diagnosed once."""

    def __init__(self, addresses: Sequence[str], explain: Explain | None) -> None:
        self._addresses = addresses[:EXPLAINED_MAX]
        self._explain = explain
        self._asked: Deferred[Any] | None = None
        self._verdicts: list[Verdict] = []

    def ask(self, end: Callable[[int, list[str]], None] = lambda _joined, _errors: None) -> None:
        """Begin. `end(0, errors)` is called if waiting for the join makes no sense."""
        assert self._explain is not None
        waiting = [Deferred.fromCoroutine(self._one(address)) for address in self._addresses]
        self._asked = DeferredList(waiting, consumeErrors=True)
        self._asked.addCallback(lambda _: self._known(end))

    async def _one(self, address: str) -> None:
        assert self._explain is not None
        self._verdicts.append(await self._explain(address))

    def _known(self, end: Callable[[int, list[str]], None]) -> None:
        causes = [verdict.cause for verdict in self._verdicts]
        if causes and len(causes) == len(self._addresses) and all(cause in _HOPELESS for cause in causes):
            end(0, [f"Failed to join {address}" for address in self._addresses])

    async def text(self) -> str:
        """A line for each cause; "" if none is known."""
        if self._explain is None:
            return ""
        if self._asked is None:
            self.ask()
        waiting: Deferred[Any] = Deferred()
        if self._asked is not None:
            self._asked.addCallback(waiting.callback)
            await waiting
        shown = dict.fromkeys(verdict for verdict in map(_line, self._verdicts) if verdict)
        return "".join(f"{line}\n" for line in shown)


def _line(verdict: Verdict) -> str:
    fine = verdict.cause in (Cause.HEALTHY, Cause.UNKNOWN)
    return "" if fine else f"{verdict.cause}: {verdict.text} Fix: {verdict.fix}"


class RetryJoin:
    """Repeats a join with growing pauses, at most `interval_s` seconds, until it succeeds.

    `gave_up(text)`: called after `max_attempts` failures; 0: never.
    """

    def __init__(
        self,
        clock: Clock,
        attempt: Callable[[], Awaitable[int]],
        *,
        pool: str,
        interval_s: float,
        max_attempts: int,
        gave_up: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._attempt = attempt
        self._pool = pool
        self._interval_s = interval_s
        self._max_attempts = max_attempts
        self._gave_up = gave_up
        self._log = Logger()

    async def run(self) -> None:
        """Join until it succeeds or the attempts are used up."""
        attempts = 0
        while True:
            try:
                joined = await self._attempt()
            except RPCError as error:
                attempts += 1
                why = str(error).strip()
                if self._max_attempts and attempts >= self._max_attempts:
                    self._gave_up(f"{self._pool}: max join retry exhausted, exiting: {why}")
                    return
                pause_s = backoff_s(attempts, FIRST_RETRY_S, self._interval_s)
                self._log.warn(
                    "{pool}: join failed, next try in {pause:g} s: {why}", pool=self._pool, pause=pause_s, why=why
                )
                await pause(self._clock, pause_s)
            else:
                self._log.info("{pool}: joined through {count} nodes", pool=self._pool, count=joined)
                return


def begin(
    config: RuntimeConfig,
    reactor: Any,
    join_pool: Callable[[Sequence[str], bool], Awaitable[int]],
    give_up: Callable[[str], None],
    *,
    servers: bool,
) -> list[Callable[[], object]]:
    """Start the joins of the configuration; the returned functions stop them, also an attempt that is under way.

    `join_pool(addresses, wan)`: one attempt. `servers`: whether there is a WAN pool.
    """
    stops: list[Callable[[], object]] = []

    def start(joining: Coroutine[Any, Any, None]) -> None:
        running = Deferred.fromCoroutine(joining)
        running.addErrback(lambda failure: failure.trap(CancelledError))
        stops.append(running.cancel)

    for wan, once, repeated, interval_s, attempts_max in (
        (False, config.start_join, config.retry_join, config.retry_interval_s, config.retry_max),
        (True, config.start_join_wan, config.retry_join_wan, config.retry_interval_wan_s, config.retry_max_wan),
    ):
        if wan and not servers:
            continue
        if once:
            start(_once(lambda once=once, wan=wan: join_pool(list(once), wan), len(once), give_up))  # type: ignore[misc]
        if repeated:
            retry = RetryJoin(
                reactor,
                lambda repeated=repeated, wan=wan: join_pool(repeated, wan),  # type: ignore[misc]
                pool="WAN" if wan else "LAN",
                interval_s=interval_s,
                max_attempts=attempts_max,
                gave_up=give_up,
            )
            start(retry.run())
    return stops


async def _once(attempt: Callable[[], Awaitable[int]], addresses: int, give_up: Callable[[str], None]) -> None:
    try:
        joined = await attempt()
    except RPCError as error:
        give_up(f"could not join: {str(error).strip()}")
    else:
        Logger().info("joined through {count} of {all} addresses", count=joined, all=addresses)
