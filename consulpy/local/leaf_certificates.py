"""Leaf certificates of this agent: asked for once for each service, shared, renewed ahead, in memory only.

A leaf is renewed at a random moment between 60 and 90 % of its life, and within 30 s after the active root changed.
Its end is one of the wall clock, which is looked at each minute: a machine may sleep, or its clock be set. One that has
ended is handed out to no caller; a new one that has ended already, because clocks are apart, is a failure like others.
Source: what agents of Consul 1.8.7 do (docs/wire/connect.md).
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, TimeoutError  # noqa: A004
from twisted.python.failure import Failure

from consulpy.backoff import backoff_s
from consulpy.clock import Clock, Timer, cancel_timer, pause
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.connect.certificates import colons, make_request, read_certificate, signing_key_id, subject_key_id
from consulpy.connect.keys import key_pem, make_key
from consulpy.connect.spiffe import AgentId, ServiceId
from consulpy.errors import RPCError
from consulpy.gocompat.time import unix_s
from consulpy.rpc.caller import Caller
from consulpy.shared_result import SharedResult
from consulpy.structs.connect_ca import CARoot, CARootsReply, CASignRequest, IssuedCert

#: Certificates that are kept; above it the one that was read longest ago goes.
LEAFS_MAX: Final = 4096
#: Time without a read after which a certificate is not renewed, in seconds.
IDLE_S: Final = 3600.0
#: The part of its life after which a certificate is renewed, at the earliest and at the latest.
RENEW_FIRST, RENEW_LAST = 0.6, 0.9
#: Seconds between two looks at the wall clock.
LOOK_S: Final = 60.0
#: All agents renew within this time after a new root, in seconds.
ROOT_CHANGE_SPREAD_S: Final = 30.0
#: The longest wait of a read with an index, in seconds.
WAIT_S: Final = 600.0
#: The pause after a failed renewal, in seconds; it doubles up to the maximum.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 60.0

#: `roots(datacenter, index)`: the roots, newer than `index` if that is not 0.
ReadRoots = Callable[[str, int], Awaitable[CARootsReply]]


@dataclass(frozen=True, slots=True)
class LeafResult:
    """A certificate, whether it was there already, and how long, in seconds."""

    leaf: IssuedCert
    hit: bool
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentNames:
    """Subject of an agent's certificate: its node, and its names and addresses."""

    node: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]


#: Datacenter, and the name of a service or an agent.
_Identity = tuple[str, str | AgentNames]


@dataclass(slots=True, eq=False)
class _Entry:
    identity: _Identity
    token: str
    leaf: IssuedCert | None = None
    #: The id of the key that signed it.
    signed_by: str = ""
    #: The ids of the key that became the active one while a certificate was asked for.
    next_signer: tuple[str, ...] = ()
    read_s: float = 0.0
    fetched_s: float = 0.0
    #: When it is renewed, by the wall clock and by the monotonic one: whichever is first.
    renew_wall_s: float = 0.0
    renew_s: float = 0.0
    failures: int = 0
    running: bool = False
    timer: Timer | None = None
    waiting: SharedResult[Any] = field(default_factory=SharedResult)
    removed: bool = False


class LeafCertificates:
    """The leaf certificates of one agent. `wall_s()`: seconds since 1970."""

    def __init__(
        self, caller: Caller, roots: ReadRoots, clock: Clock, wall_s: Callable[[], float], rng: Random
    ) -> None:
        self._caller = caller
        self._roots = roots
        self._clock = clock
        self._wall_s = wall_s
        self._rng = rng
        self._entries: OrderedDict[_Identity, _Entry] = OrderedDict()
        self._watching: dict[str, Deferred[None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    async def read(
        self,
        datacenter: str,
        service: str,
        token: str,
        *,
        allowed: bool = True,
        index: int = 0,
        wait_s: float = WAIT_S,
    ) -> LeafResult:
        """The certificate of a service; with `index` one that is newer, or the same after the wait. Raises `RPCError`.

        `allowed`: whether `token` may have it; if not, the servers are asked, in whose words it is refused.
        """
        if not allowed:
            return LeafResult(await self._issue(_Entry((datacenter, service), token)), hit=False)
        return await self._read((datacenter, service), token, index, wait_s)

    async def read_agent(
        self, datacenter: str, names: AgentNames, token: str, *, index: int = 0, wait_s: float = WAIT_S
    ) -> LeafResult:
        """The same for the agent's own certificate."""
        return await self._read((datacenter, names), token, index, wait_s)

    def seed(self, datacenter: str, names: AgentNames, leaf: IssuedCert, token: str) -> None:
        """Keep and renew an agent's certificate that was got elsewhere."""
        entry = self._entry((datacenter, names), token)
        entry.running = True
        self._issued(leaf, entry)

    async def _read(self, identity: _Identity, token: str, index: int, wait_s: float) -> LeafResult:
        entry = self._entry(identity, token)
        hit = entry.leaf is not None and not self._has_ended(entry.leaf)
        if not hit:
            waiting = entry.waiting.next()
            self._fetch(entry)
            await waiting
        if index:
            await self._newer(entry, index, wait_s or WAIT_S)
        assert entry.leaf is not None
        if self._has_ended(entry.leaf):
            raise RPCError(_ended(entry.leaf))
        return LeafResult(entry.leaf, hit, self._clock.seconds() - entry.fetched_s if hit else 0.0)

    def close(self) -> None:
        """Drop all certificates, and stop renewing them."""
        for entry in list(self._entries.values()):
            self._remove(entry)
        watching, self._watching = self._watching, {}
        for watch in watching.values():
            watch.cancel()

    def _entry(self, identity: _Identity, token: str) -> _Entry:
        entry = self._entries.get(identity)
        if entry is None:
            entry = self._entries[identity] = _Entry(identity, token)
            while len(self._entries) > LEAFS_MAX:
                self._remove(next(iter(self._entries.values())))
        self._entries.move_to_end(identity)
        entry.token, entry.read_s = token, self._clock.seconds()
        return entry

    def _remove(self, entry: _Entry) -> None:
        if entry.removed:
            return
        entry.removed = True
        del self._entries[entry.identity]
        self._stop_timer(entry)
        entry.waiting.fire(Failure(RPCError("the certificate is not kept any longer")))

    async def _newer(self, entry: _Entry, index: int, wait_s: float) -> None:
        until_s = self._clock.seconds() + wait_s
        while entry.leaf is None or entry.leaf.modify_index <= index:
            left_s = until_s - self._clock.seconds()
            if left_s <= 0:
                return
            waiting = entry.waiting.next()
            waiting.addTimeout(left_s, self._clock)  # type: ignore[arg-type]
            try:
                await waiting
            except TimeoutError:
                return
            except RPCError:
                if entry.leaf is None:
                    raise
                return

    # -- fetching and renewing

    def _fetch(self, entry: _Entry) -> None:
        if entry.running or entry.removed:
            return
        entry.running = True
        self._stop_timer(entry)
        Deferred.fromCoroutine(self._issue(entry)).addCallbacks(
            self._issued, self._failed, callbackArgs=(entry,), errbackArgs=(entry,)
        )

    async def _issue(self, entry: _Entry) -> IssuedCert:
        datacenter, who = entry.identity
        roots = await self._roots(datacenter, 0)
        key = make_key()
        if isinstance(who, AgentNames):
            uri = AgentId(roots.trust_domain, datacenter, who.node).uri
            csr = make_request(key, uri, who.names, who.addresses)
        else:
            csr = make_request(key, ServiceId(roots.trust_domain, datacenter, who).uri)
        request = CASignRequest(datacenter=datacenter, token=entry.token, csr=csr)
        issued: IssuedCert = await self._caller.call("ConnectCA.Sign", request)
        return dataclasses.replace(issued, private_key_pem=key_pem(key))

    def _issued(self, leaf: IssuedCert, entry: _Entry) -> None:
        if self._has_ended(leaf):
            self._failed(
                Failure(RPCError(f"{_ended(leaf)}, though it is new: is this clock that of the servers?")), entry
            )
            return
        entry.running = False
        if entry.removed:
            return
        entry.leaf, entry.failures, entry.fetched_s = leaf, 0, self._clock.seconds()
        entry.signed_by = signing_key_id(read_certificate(leaf.cert_pem))
        delay_s = self._renewal_s(leaf)
        entry.renew_wall_s, entry.renew_s = self._wall_s() + delay_s, self._clock.seconds() + delay_s
        self._look_later(entry)
        self._watch_roots(entry.identity[0])
        if entry.next_signer:
            self._signer_changed(entry, entry.next_signer)
        entry.waiting.fire(leaf)

    def _has_ended(self, leaf: IssuedCert) -> bool:
        return self._wall_s() >= unix_s(leaf.valid_before)

    def _failed(self, failure: Failure, entry: _Entry) -> None:
        entry.running = False
        if entry.removed:
            return
        if entry.leaf is None:
            del self._entries[entry.identity]
            entry.removed = True
        else:
            entry.failures += 1
            self._schedule(entry, backoff_s(entry.failures, RETRY_S, RETRY_MAX_S))
        entry.waiting.fire(failure)

    def _renewal_s(self, leaf: IssuedCert) -> float:
        """Seconds until a certificate is renewed."""
        begins_s, ends_s = unix_s(leaf.valid_after), unix_s(leaf.valid_before)
        part = RENEW_FIRST + (RENEW_LAST - RENEW_FIRST) * self._rng.random()
        return max(begins_s + (ends_s - begins_s) * part - self._wall_s(), RETRY_S)

    def _look_later(self, entry: _Entry) -> None:
        self._stop_timer(entry)
        left_s = min(entry.renew_wall_s - self._wall_s(), entry.renew_s - self._clock.seconds(), LOOK_S)
        entry.timer = self._clock.callLater(max(left_s, 0.0), self._look, entry)

    def _look(self, entry: _Entry) -> None:
        if self._wall_s() >= entry.renew_wall_s or self._clock.seconds() >= entry.renew_s:
            self._renew(entry)
        else:
            self._look_later(entry)

    def _schedule(self, entry: _Entry, delay_s: float) -> None:
        self._stop_timer(entry)
        entry.timer = self._clock.callLater(delay_s, self._renew, entry)

    def _stop_timer(self, entry: _Entry) -> None:
        cancel_timer(entry.timer)
        entry.timer = None

    def _renew(self, entry: _Entry) -> None:
        entry.timer = None
        if not entry.waiting and self._clock.seconds() - entry.read_s > IDLE_S:
            self._remove(entry)  # the next request gets a new one
        else:
            self._fetch(entry)

    # -- roots

    def _watch_roots(self, datacenter: str) -> None:
        """Watch the roots of a datacenter for as long as there is a certificate of it."""
        if datacenter not in self._watching:
            watch = self._watching[datacenter] = Deferred.fromCoroutine(self._follow(datacenter))
            watch.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def _follow(self, datacenter: str) -> None:
        index, failures = 0, 0
        while any(entry.identity[0] == datacenter for entry in self._entries.values()):
            try:
                roots = await self._roots(datacenter, index)
            except RPCError:
                index, failures = 0, failures + 1
                await pause(self._clock, backoff_s(failures, RETRY_S, RETRY_MAX_S))
                continue
            failures = 0
            if roots.meta.index == index:
                await pause(self._clock, RETRY_S)
            index = roots.meta.index
            self._roots_changed(datacenter, roots)
        self._watching.pop(datacenter, None)

    def _roots_changed(self, datacenter: str, roots: CARootsReply) -> None:
        active = next((root for root in roots.roots or () if root.active), None)
        if active is None:
            return
        signer = _ids_of(active)
        for entry in self._entries.values():
            if entry.identity[0] != datacenter:
                continue
            if entry.running:
                entry.next_signer = signer
            elif entry.leaf is not None:
                self._signer_changed(entry, signer)

    def _signer_changed(self, entry: _Entry, signer: tuple[str, ...]) -> None:
        entry.next_signer = ()
        if entry.signed_by not in signer:
            entry.signed_by = signer[0]  # planned: once for each change
            self._schedule(entry, self._rng.random() * ROOT_CHANGE_SPREAD_S)


def _ids_of(root: CARoot) -> tuple[str, ...]:
    """Ids that leafs of a root may name as signer: the signing key's id, and what the certificate calls its key."""
    try:
        return root.signing_key_id, colons(subject_key_id(read_certificate(root.root_cert)))
    except RPCError:
        return (root.signing_key_id,)


def _ended(leaf: IssuedCert) -> str:
    ended = datetime.fromtimestamp(unix_s(leaf.valid_before), UTC)
    return f"the certificate of {leaf.service or leaf.agent} ended at {ended:%Y-%m-%dT%H:%M:%SZ} by this agent's clock"
