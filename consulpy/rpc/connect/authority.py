"""The certificate authority of a datacenter: initialized by a leader, configured, rotated, and asked for certificates.

It keeps nothing but what is in the state store: a new leader, a restart and a restored snapshot change nothing. Order
and bodies of the log entries are those of Consul 1.8.7 (docs/wire/connect.md).
"""

import dataclasses
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from random import SystemRandom
from typing import Any, Final

from cryptography import x509
from twisted.internet.defer import DeferredLock

from consulpy.codec.msgpack import pack
from consulpy.connect import certificates
from consulpy.connect.keys import key_pem
from consulpy.connect.provider_config import DEFAULTS, decode, with_key
from consulpy.connect.spiffe import AgentId, BadSpiffeId, ServiceId, SigningId, parse
from consulpy.errors import RPCError
from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.time import ZERO_TIME, go_time, unix_s
from consulpy.rpc.connect.interface import AuthorityHost
from consulpy.rpc.connect.provider import Provider
from consulpy.rpc.connect.signing_limits import SigningLimits
from consulpy.rpc.uuids import new_uuid
from consulpy.state.connect_commands import ConnectCA, ConnectCALeaf
from consulpy.structs import connect_ca as structs
from consulpy.structs.connect_ca import CAConfiguration, CALeafRequest, CARequest, CARoot, IssuedCert

_SECRETS: Final = SystemRandom()
_INTERMEDIATE_TTL: Final = "IntermediateCertTTL"
#: How long old roots are listed, in lives of a leaf.
_KEPT_LIVES: Final = 2


class Authority:
    """The CA of the primary datacenter, on each of its servers; it works on the leader.

    `initial`: the configuration that the first leader writes. `say(level, text)`: a line in the log.
    """

    #: Whether the root is this datacenter's own.
    is_primary = True

    def __init__(
        self,
        host: AuthorityHost,
        initial: CAConfiguration,
        say: Callable[[str, str], None] = lambda _level, _text: None,
    ) -> None:
        self._host = host
        self._initial = initial
        self._say = say
        self._changes = DeferredLock()
        self._limits = SigningLimits(host.clock)
        self._provider: tuple[CAConfiguration, Provider] | None = None

    # -- a new leader

    async def initialize(self) -> None:
        """Write what the state lacks: configuration, key, root. Raises `RPCError`."""
        await self._locked(self._initialize())

    async def _locked(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a change of the CA after those before it."""
        await self._changes.acquire()
        try:
            await work
        finally:
            self._changes.release()

    async def follow(self) -> None:
        """See `CertificateAuthority`: there is nothing to follow."""

    async def _initialize(self) -> None:
        configuration = await self._initial_configuration()
        provider = Provider(self._host, configuration, is_primary=True)
        provider.check_root()
        await provider.set_up()
        pem = await provider.root()
        root = certificates.root_of(pem, configuration.provider, configuration.cluster_id)
        index, roots = self._host.store.connect_ca.roots(None)
        if any(each.active for each in roots):
            return
        await self._written(CARequest(op=structs.SET_ROOTS, index=index, roots=[root]))

    async def _initial_configuration(self) -> CAConfiguration:
        """The stored configuration, completed, or else the initial one, stored."""
        stored = self._host.store.connect_ca.configuration(None)
        if stored is None:
            fresh = dataclasses.replace(self._initial, cluster_id=self._initial.cluster_id or new_uuid(_SECRETS))
        elif _INTERMEDIATE_TTL not in stored.settings:  # as Consul does it
            life_ns = decode({}).intermediate_cert_ttl_ns
            settings = {**stored.settings, _INTERMEDIATE_TTL: format_duration_ns(life_ns)}
            fresh = dataclasses.replace(stored, config=settings)
        else:
            return stored
        await self._written(CARequest(op=structs.SET_CONFIG, config=fresh))
        return self._configuration()

    # -- the configuration

    def _configuration(self) -> CAConfiguration:
        found = self._host.store.connect_ca.configuration(None)
        if found is None:
            raise RPCError("CA not initialized: no configuration is stored yet")
        return found

    async def configure(self, request: CARequest) -> None:
        """Replace the configuration; rotate the root if it changes. Raises `RPCError`."""
        await self._locked(self._configure(request))

    async def _configure(self, request: CARequest) -> None:
        now = self._configuration()
        wanted = self._wanted(now, request.config or CAConfiguration())
        if wanted is None:
            return
        provider = Provider(self._host, wanted, is_primary=True)
        provider.check_root()
        await provider.set_up()
        pem = await provider.root()
        root = certificates.root_of(pem, wanted.provider, wanted.cluster_id)
        active = self._host.store.connect_ca.active_root
        if active is not None and active.id == root.id:
            await self._written(dataclasses.replace(request, op=structs.SET_CONFIG, config=wanted), may_lose=True)
            return
        await self._rotate(request, now, wanted, root)

    def _wanted(self, now: CAConfiguration, given: CAConfiguration) -> CAConfiguration | None:
        """The configuration that replaces `now`; None if nothing changes. Raises `RPCError`."""
        if given.state and given.state != now.state:
            raise RPCError(structs.STATE_READ_ONLY)
        wanted = dataclasses.replace(given, cluster_id=now.cluster_id, state=given.state or now.state)
        is_same = wanted.provider == now.provider and (wanted.config is None) == (now.config is None)
        is_same = is_same and _packed(wanted.settings) == _packed(now.settings)
        return None if is_same else wanted

    async def _rotate(self, request: CARequest, now: CAConfiguration, wanted: CAConfiguration, root: CARoot) -> None:
        """Make `root` the active one: cross-signed by the one before it, which stays listed."""
        old_provider = Provider(self._host, now, is_primary=True)
        certificate = certificates.read_certificate(root.root_cert)
        crossed = await old_provider.signed(
            lambda signer, serial: certificates.cross_sign(signer, certificate, serial, self._host.wall_s()),
            may_have_ended=True,
        )
        root = dataclasses.replace(root, intermediate_certs=[crossed])
        index, kept = self._retired(root)
        change = dataclasses.replace(
            request,
            op=structs.SET_ROOTS_CONFIG,
            index=index,
            config=dataclasses.replace(wanted, modify_index=now.modify_index),
            roots=[*kept, root],
        )
        await self._written(change)
        self._say("info", f"the root of the CA was rotated: {root.id}")
        if old_provider.state_id != Provider(self._host, wanted, is_primary=True).state_id:
            await old_provider.delete()

    def _retired(self, root: CARoot) -> tuple[int, list[CARoot]]:
        """The index of the roots, and all but `root`, none of them active."""
        index, roots = self._host.store.connect_ca.roots(None)
        out = _local_time(self._host.wall_s())
        return index, [
            dataclasses.replace(each, active=False, rotated_out_at=out) if each.active else each
            for each in roots
            if each.id != root.id
        ]

    async def _written(self, request: CARequest, *, may_lose: bool = False) -> None:
        done = await self._host.submit(ConnectCA(request))
        if done is False and not may_lose:
            raise RPCError("could not atomically update roots and config")

    async def prune(self) -> None:
        """Remove roots that were rotated out more than two lives of a leaf ago. Raises `RPCError`."""
        life = self._current().config.leaf_life.total_seconds()
        index, roots = self._host.store.connect_ca.roots(None)
        since_s = self._host.wall_s() - _KEPT_LIVES * life
        kept = [
            each
            for each in roots
            if each.active or each.rotated_out_at == ZERO_TIME or unix_s(each.rotated_out_at) > since_s
        ]
        if len(kept) < len(roots) and any(each.active for each in kept):
            await self._written(CARequest(op=structs.SET_ROOTS, index=index, roots=kept))

    async def rotate_on_schedule(self) -> None:
        """Give the CA a new key if the active root is older than `RotationPeriod`, as an operator would."""
        await self._locked(self._rotate_if_due())

    async def _rotate_if_due(self) -> None:
        now = self._configuration()
        provider = Provider(self._host, now, is_primary=True)
        period_s, active = provider.config.rotation_s, self._host.store.connect_ca.active_root
        if period_s is None or active is None:
            return
        begins = certificates.read_certificate(active.root_cert).not_valid_before_utc.timestamp()
        if self._host.wall_s() < begins + period_s:
            return
        settings = with_key(now.settings, key_pem(await provider.new_key()))
        await self._configure(
            CARequest(datacenter=self._host.datacenter, config=dataclasses.replace(now, config=settings))
        )

    # -- certificates

    def _current(self) -> Provider:
        """The provider with the stored configuration. Raises `RPCError`."""
        configuration = self._configuration()
        if self._provider is None or self._provider[0] is not configuration:
            self._provider = configuration, Provider(self._host, configuration, is_primary=self.is_primary)
        return self._provider[1]

    async def sign(self, csr: str, may_sign: Callable[[Any], None]) -> IssuedCert:
        """See `CertificateAuthority`."""
        request = certificates.read_request(csr)
        names = certificates.subject_names(request)
        uris = certificates.needed_uris(names)
        identity = parse(uris[0])
        if isinstance(identity, SigningId):
            raise BadSpiffeId("SPIFFE ID in CSR must be a service or agent ID")
        may_sign(identity)
        provider = self._current()
        if isinstance(identity, ServiceId):
            if identity.host.lower() != provider.trust_domain:
                raise BadSpiffeId(
                    f"SPIFFE ID in CSR from a different trust domain: {identity.host}, we are {provider.trust_domain}"
                )
        elif identity.host != provider.trust_domain:  # an agent does not know ours yet
            replaced = identity.within(provider.trust_domain)
            names = _with_uri(names, uris[0], replaced.uri)
            identity = replaced
        return await self._sign(provider, request, names, identity)

    async def _sign(
        self,
        provider: Provider,
        request: x509.CertificateSigningRequest,
        names: list[x509.GeneralName],
        identity: ServiceId | AgentId,
    ) -> IssuedCert:
        limits = provider.config
        must_leave = await self._limits.enter(limits.csr_max_per_second, limits.csr_max_concurrent)
        try:
            life: timedelta = limits.leaf_life
            pem = await provider.signed(
                lambda signer, serial: certificates.sign_leaf(
                    signer, request, names, identity, serial, life, self._host.wall_s()
                )
            )
        finally:
            if must_leave:
                self._limits.leave()
        root = self._host.store.connect_ca.active_root
        chain = [pem, *(root.intermediate_certs or () if root is not None else ())]
        if not self.is_primary:  # a second time, as in Consul
            chain.append(provider.state.intermediate_cert if provider.state is not None else "")
        body = CALeafRequest(datacenter=self._host.datacenter, op=structs.INCREMENT_INDEX)
        index: int = await self._host.submit(ConnectCALeaf(body))
        return _issued("".join(each.strip() + "\n" for each in chain), pem, identity, index)

    def agent_names(self, csr: str) -> list[str]:
        """See `CertificateAuthority`."""
        names = certificates.subject_names(certificates.read_request(csr))
        uris = certificates.needed_uris(names)
        if not all(isinstance(parse(uri), AgentId) for uri in uris):
            raise BadSpiffeId("SPIFFE ID in CSR must be an agent ID: without a certificate only agents get one")
        return [each.value for each in names if isinstance(each, x509.DNSName)]

    async def sign_intermediate(self, csr: str) -> str:
        """See `CertificateAuthority`."""
        request = certificates.read_request(csr)
        provider = self._current()
        uris = certificates.needed_uris(certificates.subject_names(request))
        domain = SigningId(provider.trust_domain).uri
        if parse(uris[0]) != SigningId(provider.trust_domain):
            raise BadSpiffeId(f'incoming CSR domain "{uris[0]}" is not valid for our domain "{domain}"')
        life = provider.config.intermediate_life
        return await provider.signed(
            lambda signer, serial: certificates.sign_intermediate(signer, request, serial, life, self._host.wall_s())
        )


def initial_configuration(provider: str, settings: Mapping[str, Any], cluster_id: str) -> CAConfiguration:
    """The configuration that the first leader writes. `settings`: of the configuration file, over the defaults."""
    return CAConfiguration(
        cluster_id=cluster_id, provider=provider or structs.BUILT_IN, config={**DEFAULTS, **settings}
    )


def _issued(chain: str, leaf: str, identity: ServiceId | AgentId, index: int) -> IssuedCert:
    certificate = certificates.read_certificate(leaf)
    issued = IssuedCert(
        serial_number=certificates.serial_text(certificate.serial_number),
        cert_pem=chain,
        valid_after=go_time(certificate.not_valid_before_utc.timestamp()),
        valid_before=go_time(certificate.not_valid_after_utc.timestamp()),
        create_index=index,
        modify_index=index,
    )
    uri = certificates.uris_of(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)[0]
    if isinstance(identity, ServiceId):
        return dataclasses.replace(issued, service=identity.service, service_uri=uri)
    return dataclasses.replace(issued, agent=identity.agent, agent_uri=uri)


def _with_uri(names: list[x509.GeneralName], old: str, new: str) -> list[x509.GeneralName]:
    """The names with one URI in place of another."""
    return [
        x509.UniformResourceIdentifier(new)
        if isinstance(each, x509.UniformResourceIdentifier) and each.value == old
        else each
        for each in names
    ]


def _local_time(seconds: float) -> bytes:
    """A time with a zone of zero minutes, as Go encodes a local time in UTC, not UTC itself."""
    return go_time(seconds)[:-2] + b"\0\0"


def _packed(settings: Mapping[str, Any]) -> bytes:
    """Settings as bytes: 1 and 1.0 differ, as in Consul."""
    return pack(_sorted(settings))


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(each) for key, each in sorted(value.items())}
    return [_sorted(each) for each in value] if isinstance(value, list) else value
