"""`auto_encrypt`: a client's TLS certificate from the servers, and servers that accept such certificates.

A client asks any server that it is to join, before it starts; later it renews its certificate as leafs are renewed, and
follows the roots. Source: Consul 1.8.7 (docs/wire/connect.md).
"""

import dataclasses
import ssl
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.agent.build.connect import roots_reader, tls_of_servers
from consulpy.agent.build.role import Role
from consulpy.agent.process.logs import reporter
from consulpy.agent.process.monotonic import wall_clock
from consulpy.backoff import backoff_s
from consulpy.clock import pause
from consulpy.config.schema import RuntimeConfig
from consulpy.connect.certificates import make_request
from consulpy.connect.keys import key_pem, make_key
from consulpy.connect.spiffe import AgentId
from consulpy.errors import ConfigError, RPCError
from consulpy.gocompat.time import unix_s
from consulpy.local.leaf_certificates import AgentNames, LeafCertificates, ReadRoots
from consulpy.rpc.net.first_certificate import ask
from consulpy.structs.connect_ca import CARootsReply, CASignRequest, SignedReply
from consulpy.tls.contexts import IssuedCertificate, Tls

#: The trust domain of a request whose sender does not know the servers'.
DUMMY_DOMAIN: Final = "dummy.trustdomain"
#: The pause between two rounds through all servers, in seconds; it doubles up to the maximum.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 30.0
#: How long one wait for a renewed certificate takes, in seconds.
_WAIT_S: Final = 3600.0

_say = reporter("auto_encrypt")


def agent_names(config: RuntimeConfig) -> AgentNames:
    """The names and addresses in the agent's certificate."""
    auto = config.auto_encrypt
    return AgentNames(config.node_name, ("localhost", *auto.dns_san), ("127.0.0.1", "::1", *auto.ip_san))


def servers_of(config: RuntimeConfig) -> list[str]:
    """The hosts of the servers to ask: those that the agent is to join. Raises `ConfigError` if there are none."""
    hosts = [_host_of(target) for target in (*config.start_join, *config.retry_join)]
    if not hosts:
        raise ConfigError("auto_encrypt.tls: which servers to ask is not known: retry_join or start_join names none")
    return list(dict.fromkeys(hosts))


def _host_of(target: str) -> str:
    if target.startswith("["):
        return target[1:].partition("]")[0]
    return target.partition(":")[0] if target.count(":") == 1 else target


class AutoEncryptClient:
    """The certificate of a client agent. `token()`: the agent's token."""

    def __init__(self, config: RuntimeConfig, reactor: Any, rng: Random, tls: Tls, token: Callable[[], str]) -> None:
        self._config = config
        self._reactor = reactor
        self._rng = rng
        self._tls = tls
        self._token = token
        self._wall_s = wall_clock(reactor)
        self._manual: list[str] = []
        self._roots: list[str] = []
        self._issued: IssuedCertificate | None = None
        self.first: SignedReply | None = None
        self._following: list[Deferred[None]] = []

    # -- the first certificate

    async def obtain(self) -> None:
        """Ask one server after the other until one gives a certificate, and use it. Raises `ConfigError`."""
        hosts, failures = servers_of(self._config), 0
        self._rng.shuffle(hosts)
        while True:
            for host in hosts:
                if await self._obtain_from(host):
                    return
            failures += 1
            await pause(self._reactor, backoff_s(failures, RETRY_S, RETRY_MAX_S))

    async def _obtain_from(self, host: str) -> bool:
        config, names, key = self._config, agent_names(self._config), make_key()
        uri = AgentId(DUMMY_DOMAIN, config.datacenter, config.node_name).uri
        csr = make_request(key, uri, names.names, names.addresses)
        request = CASignRequest(datacenter=config.datacenter, token=self._token(), csr=csr)
        context, name = self._tls.outgoing(config.datacenter, True) or (_unverified(), None)
        try:
            reply = await ask(self._reactor, host, config.ports.server, context, name, request)
            self.adopt(reply, key_pem(key))
        except CancelledError:
            raise
        except Exception as error:  # of the network, of TLS, of the server: the next one is asked
            _say("error", f"no certificate from {host}:{config.ports.server}: {error or type(error).__name__}")
            return False
        _say("info", f"got a certificate from {host}: serial={reply.issued_cert.serial_number}")
        return True

    def adopt(self, reply: SignedReply, key: str) -> None:
        """Use a server's reply from now on; `key`: that of the request, in PEM. Raises `ConfigError`."""
        self.first = dataclasses.replace(reply, issued_cert=dataclasses.replace(reply.issued_cert, private_key_pem=key))
        self._manual = reply.manual_ca_roots or []
        self._roots = _pems(reply.connect_ca_roots)
        self._issued = IssuedCertificate(reply.issued_cert.cert_pem, key)
        self._apply()

    def _apply(self) -> None:
        self._tls.use_issued(self._issued, [*self._roots, *self._manual])

    # -- later

    def follow(self, leafs: LeafCertificates, roots: ReadRoots) -> None:
        """Renew the certificate and follow the roots from now on."""
        for loop in (self._follow_certificate(leafs), self._follow_roots(roots)):
            self._following.append(_running(loop))

    def stop(self) -> None:
        """Stop following."""
        following, self._following = self._following, []
        for loop in following:
            loop.cancel()

    async def _follow_certificate(self, leafs: LeafCertificates) -> None:
        assert self.first is not None
        names, leaf, failures = agent_names(self._config), self.first.issued_cert, 0
        leafs.seed(self._config.datacenter, names, leaf, self._token())
        while True:
            if self._wall_s() >= unix_s(leaf.valid_before):  # no server takes it any longer for its renewal
                _say("warn", "the agent's certificate has ended: another one is asked for as at the start")
                await self.obtain()
                leaf = self.first.issued_cert
                leafs.seed(self._config.datacenter, names, leaf, self._token())
            try:
                found = await leafs.read_agent(
                    self._config.datacenter, names, self._token(), index=leaf.modify_index, wait_s=_WAIT_S
                )
            except RPCError as error:
                failures += 1
                _say("warn", f"the agent's certificate is not renewed yet: {error}")
                await pause(self._reactor, backoff_s(failures, RETRY_S, RETRY_MAX_S))
                continue
            failures = 0
            if found.leaf.modify_index != leaf.modify_index:
                leaf = found.leaf
                self._issued = IssuedCertificate(leaf.cert_pem, leaf.private_key_pem)
                self._apply()
                _say("info", f"the agent's certificate was renewed: serial={leaf.serial_number}")

    async def _follow_roots(self, roots: ReadRoots) -> None:
        def changed(pems: list[str]) -> None:
            self._roots = pems
            self._apply()

        await follow_roots(self._config.datacenter, self._reactor, roots, changed)


async def follow_roots(datacenter: str, reactor: Any, roots: ReadRoots, changed: Callable[[list[str]], None]) -> None:
    """Call `changed(pems)` with the roots and each time that they change; until it is cancelled."""
    index, failures = 0, 0
    known: list[str] = []
    while True:
        try:
            reply = await roots(datacenter, index)
        except RPCError:
            index, failures = 0, failures + 1
            await pause(reactor, backoff_s(failures, RETRY_S, RETRY_MAX_S))
            continue
        failures = 0
        if reply.meta.index == index:
            await pause(reactor, RETRY_S)
        index = reply.meta.index
        pems = _pems(reply)
        if pems != known:
            known = pems
            try:
                changed(pems)
            except ConfigError as error:
                _say("error", f"the CA's roots are not trusted yet: {error}")


def obtain(
    config: RuntimeConfig, reactor: Any, rng: Random, tls: Tls, token: Callable[[], str]
) -> "Deferred[Callable[[Role, LeafCertificates], Callable[[], object]]]":
    """Get the first certificate, for as long as it takes; fires with a function that follows it from then on.

    Raises `ConfigError` if no server is named.
    """
    servers_of(config)
    client = AutoEncryptClient(config, reactor, rng, tls, token)

    def follow(role: Role, leafs: LeafCertificates) -> Callable[[], object]:
        client.follow(leafs, roots_reader(role))
        return client.stop

    return Deferred.fromCoroutine(client.obtain()).addCallback(lambda _: follow)


def give_certificates(config: RuntimeConfig, reactor: Any, role: Role, tls: Tls) -> Callable[[], object]:
    """Have a server give certificates to agents, and accept those; the returned function ends that."""
    assert role.server is not None
    role.server.agent_certificates = lambda: tls_of_servers(config, tls)
    roots = roots_reader(role)
    loop = _running(follow_roots(config.datacenter, reactor, roots, lambda pems: tls.use_issued(None, pems)))
    return loop.cancel


def _running(coroutine: Any) -> "Deferred[None]":
    def ended(failure: Failure) -> None:
        if not failure.check(CancelledError):
            _say("error", f"auto_encrypt stopped: {failure.getErrorMessage()}")

    return Deferred.fromCoroutine(coroutine).addErrback(ended)


def _pems(roots: CARootsReply) -> list[str]:
    found: Sequence[Any] = roots.roots or ()
    return [root.root_cert for root in found]


def _unverified() -> ssl.SSLContext:
    """Without `ca_file` a client can't check the servers, as in Consul."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
