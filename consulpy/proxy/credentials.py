"""The proxy's certificate and the roots that it trusts, renewed while connections live."""

import ssl
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from consulpy.proxy.agent_api import AgentApi, Watch
from consulpy.tls.mesh import mesh_context

_log = Logger()


class Credentials:
    """Watches the leaf certificate of a service and the roots.

    `server` and `client`: the contexts of new connections. `ready` fires when both are there. Established connections
    go on with the certificate that they began with.
    """

    def __init__(self, reactor: Any, api: AgentApi, service: str, rng: Random) -> None:
        self.ready: Deferred[None] = Deferred()
        self.server: ssl.SSLContext | None = None
        self.client: ssl.SSLContext | None = None
        #: Host of the SPIFFE ids of this cluster.
        self.trust_domain = ""
        self.renewals = 0
        self._leaf: tuple[str, str] = ("", "")
        self._roots: list[str] = []
        leaf = f"/v1/agent/connect/ca/leaf/{quote(service, safe='')}"
        follow: Callable[..., Watch] = lambda path, received: Watch(reactor, api, path, received, rng)  # noqa: E731
        self._watches = [follow(leaf, self._new_leaf), follow("/v1/agent/connect/ca/roots", self._new_roots)]

    def start(self) -> None:
        """Start watching certificate and roots."""
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        """Watch no more."""
        for watch in self._watches:
            watch.stop()

    def _new_leaf(self, reply: Any) -> None:
        self._use((str(reply["CertPEM"]), str(reply["PrivateKeyPEM"])), self._roots)

    def _new_roots(self, reply: Any) -> None:
        self._use(self._leaf, [str(root["RootCert"]) for root in reply.get("Roots") or ()])
        self.trust_domain = str(reply.get("TrustDomain") or "")

    def _use(self, leaf: tuple[str, str], roots: list[str]) -> None:
        """Switch to new certificates; those that can't be used change nothing. Raises `ConfigError`."""
        if (leaf, roots) == (self._leaf, self._roots):
            return
        if all(leaf) and roots:
            server = mesh_context(*leaf, roots, server_side=True)
            self.client = mesh_context(*leaf, roots, server_side=False)
            self.server = server
            self.renewals += 1
            _log.info("certificates are in use, renewal {number}", number=self.renewals)
        self._leaf, self._roots = leaf, roots
        if self.server is not None and not self.ready.called:
            self.ready.callback(None)
