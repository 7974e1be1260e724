"""The listener of an upstream: each connection goes to a healthy instance, whose certificate must be the service's."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from consulpy.proxy.agent_api import AgentApi, ApiError, Watch
from consulpy.proxy.dial import dial
from consulpy.proxy.identity import is_service, spiffe_uri
from consulpy.proxy.relay import Side
from consulpy.proxy.settings import PREPARED_QUERY, Upstream
from consulpy.tls.transport import TlsProtocol

_log = Logger()

#: Instances that are tried for one connection.
ATTEMPTS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Instance:
    """A proxy or native service of the mesh: where it listens, and the service that it must prove to be."""

    address: str
    datacenter: str
    service: str


class Trust(Protocol):
    """Our certificate and the roots (`consulpy.proxy.credentials.Credentials`)."""

    @property
    def client(self) -> ssl.SSLContext | None:
        """The context of the next connection; None: there are no certificates yet."""

    @property
    def trust_domain(self) -> str:
        """Host of the SPIFFE ids of this cluster."""


def instance_of(row: dict[str, Any]) -> Instance | None:
    """An instance of `/v1/health/connect` or a prepared query; None if it names no service or no port."""
    node, service = row.get("Node") or {}, row.get("Service") or {}
    is_native = bool((service.get("Connect") or {}).get("Native"))
    name = service.get("Service") if is_native else (service.get("Proxy") or {}).get("DestinationServiceName")
    host, port = service.get("Address") or node.get("Address"), service.get("Port")
    if not name or not host or not port:
        return None
    shown = f"[{host}]" if ":" in host else host
    return Instance(f"{shown}:{port}", node.get("Datacenter") or "", name)


def _instances_in(rows: list[dict[str, Any]]) -> list[Instance]:
    return [found for found in map(instance_of, rows) if found is not None]


class OutboundFactory(Factory):
    """Accepts connections for one upstream."""

    noisy = False

    def __init__(self, reactor: Any, api: AgentApi, upstream: Upstream, trust: Trust, rng: Random) -> None:
        self._reactor = reactor
        self._api = api
        self._upstream = upstream
        self._trust = trust
        self._rng = rng
        self._open: set[Side] = set()
        #: The last known instances: used while they are watched, or the agent does not answer.
        self._known: list[Instance] = []
        self._watch: Watch | None = None
        self._is_watched = self._is_closed = False

    def buildProtocol(self, addr: Any) -> Any:  # noqa: ARG002 - Twisted's interface
        """One accepted connection."""
        return _Accepted(self._serve, self._open.discard)

    def _serve(self, side: Side) -> None:
        self._open.add(side)
        Deferred.fromCoroutine(self._connect_and_join(side)).addErrback(self._failed, side)

    def _failed(self, failure: Any, side: Side) -> None:
        _log.error("upstream {name}: a connection ended: {error}", name=self._upstream.name, error=failure.value)
        side.refuse()

    async def _connect_and_join(self, side: Side) -> None:
        found = await self._instances()
        self._rng.shuffle(found)
        for instance in found[:ATTEMPTS_MAX]:
            remote = await self._connect(instance)
            if side.is_lost:
                if remote is not None:
                    remote.close()
                return
            if remote is not None:
                self._open.add(remote)
                side.join(remote)
                return
        if not found:
            _log.error("upstream {name}: no healthy instances found", name=self._upstream.name)
        side.refuse()

    async def _instances(self) -> list[Instance]:
        """Healthy instances. Those of a service are watched after the first connection, not asked for at each."""
        if self._is_watched:
            return list(self._known)
        upstream = self._upstream
        params = {"dc": upstream.datacenter} if upstream.datacenter else self._api.datacenter
        name = quote(upstream.name, safe="")
        try:
            if upstream.kind == PREPARED_QUERY:
                reply = await self._api.get(f"/v1/query/{name}/execute", {"connect": "true", **params})
                rows = (reply.json or {}).get("Nodes") or []
            else:
                path, params = f"/v1/health/connect/{name}", {"passing": "1", "stale": "", **params}
                rows = (await self._api.get(path, params)).json or []
                self._follow(path, params)
        except ApiError as error:
            _log.error("upstream {name}: {error}", name=upstream.name, error=error)
            return list(self._known)
        self._known = _instances_in(rows)
        return list(self._known)

    def _follow(self, path: str, params: dict[str, str]) -> None:
        if self._watch is None and not self._is_closed:
            self._watch = Watch(self._reactor, self._api, path, self._received, self._rng, params, self._failed_watch)
            self._watch.start()

    def _received(self, rows: Any) -> None:
        self._known, self._is_watched = _instances_in(rows or []), True

    def _failed_watch(self) -> None:
        """Resolve instances for each connection until the watch is back."""
        self._is_watched = False

    async def _connect(self, instance: Instance) -> Side | None:
        """A connection to an instance after its certificate was checked; None: it failed."""
        context = self._trust.client
        if context is None:
            return None
        side = Side(self._open.discard)
        layer = TlsProtocol(context, side, server_side=False, clock=self._reactor)
        timeout_s = self._upstream.connect_timeout_s
        try:
            await dial(self._reactor, instance.address, layer, timeout_s)
            await layer.secured.addTimeout(timeout_s, self._reactor)
        except Exception as error:  # of Twisted's endpoints and of the handshake
            _log.error(
                "upstream {name} at {address}: {error}",
                name=self._upstream.name,
                address=instance.address,
                error=str(error) or type(error).__name__,
            )
            return None
        uri = spiffe_uri(layer.peer_certificate)
        if is_service(uri, self._trust.trust_domain, instance.datacenter, instance.service):
            return side
        _log.error(
            "upstream {name} at {address} is not {service} in {datacenter}: its certificate is of {uri}",
            name=self._upstream.name,
            address=instance.address,
            service=instance.service,
            datacenter=instance.datacenter,
            uri=uri or "no service",
        )
        side.refuse()
        return None

    def close(self) -> None:
        """Close all connections, watch no longer."""
        self._is_closed = True
        if self._watch is not None:
            self._watch.stop()
        for side in list(self._open):
            side.close()


class _Accepted(Side):
    """A connection of the program that uses the upstream."""

    def __init__(self, accepted: Callable[[Side], None], ended: Callable[[Side], None]) -> None:
        super().__init__(ended)
        self._accepted = accepted

    def connectionMade(self) -> None:
        """Choose an instance for the new connection."""
        super().connectionMade()
        self._accepted(self)
