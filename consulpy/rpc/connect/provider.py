"""The built-in provider: its state in the store, from the settings to a key and a root (docs/wire/connect.md).

The log entries and their order are those of Consul 1.8.7.
"""

import dataclasses
from random import SystemRandom
from typing import Any, Final

from consulpy.connect import certificates
from consulpy.connect.certificates import BadCertificate, Signer
from consulpy.connect.keys import RSA, BadKey, PrivateKey, key_pem, kind_and_bits, make_key, read_key
from consulpy.connect.provider_config import BadProviderConfig, ProviderConfig, decode
from consulpy.connect.spiffe import SigningId, authority_name
from consulpy.errors import RPCError
from consulpy.rpc.connect.interface import AuthorityHost
from consulpy.state.connect_commands import ConnectCA
from consulpy.structs import connect_ca as structs
from consulpy.structs.connect_ca import BUILT_IN, CAConfiguration, CAProviderState, CARequest

_SECRETS: Final = SystemRandom()
#: Bits of the random part of a CA's name.
_NAME_BITS: Final = 40
#: The smallest RSA key of a root; 1.8.7 takes smaller ones, whose certificates OpenSSL refuses.
_RSA_BITS_MIN: Final = 2048
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Provider:
    """The built-in provider with one configuration. `is_primary`: whether it has a root of its own."""

    def __init__(self, host: AuthorityHost, configuration: CAConfiguration, *, is_primary: bool) -> None:
        """Raises `RPCError` for another provider, and for settings that can't work."""
        if configuration.provider != BUILT_IN:
            raise _other_provider(configuration)
        try:
            self.config: ProviderConfig = decode(configuration.settings)
        except BadProviderConfig as error:
            raise RPCError(f"error configuring provider: {error}") from None
        self._host = host
        self.trust_domain = configuration.trust_domain
        self.state_id = self.config.state_id(is_primary=is_primary)
        self.is_primary = is_primary
        self._signer: tuple[str, Signer] | None = None

    @property
    def state(self) -> CAProviderState | None:
        """The state to store for these settings."""
        return self._host.store.connect_ca.provider_state(self.state_id)

    def check_root(self) -> None:
        """Check the configured key and root, before anything is written. Raises `RPCError`."""
        config = self.config
        if not config.private_key:
            return
        failed = "error generating CA root certificate: "
        try:
            key = read_key(config.private_key)
        except BadKey as error:
            raise RPCError(f"{failed}error generating CA: error parsing private key: {error}") from None
        kind, bits = kind_and_bits(key.public_key())
        if kind == RSA and bits < _RSA_BITS_MIN:
            raise RPCError(f"{failed}the RSA key has {bits} bits, TLS libraries take {_RSA_BITS_MIN} or more")
        if config.root_cert:
            try:
                certificates.check_only_certificates(config.root_cert)
            except BadCertificate as error:
                raise RPCError(f"error parsing root fingerprint: {error}") from None
            try:
                root = certificates.read_certificate(config.root_cert)
                certificates.check_authority(root, key, config.leaf_life, self._host.wall_s())
            except BadCertificate as error:
                raise RPCError(f"{failed}{error}") from None

    async def set_up(self) -> None:
        """Write the provider's state if there is none with these settings. Raises `RPCError`."""
        if self.state is None:
            await self.write(CAProviderState(id=self.state_id))

    async def root(self) -> str:
        """The root certificate in PEM; it is made, or taken from the settings, if there is none. Raises `RPCError`."""
        state = self.state
        if state is None:
            raise RPCError("the state of the CA's provider is missing")
        if state.root_cert:
            return state.root_cert
        pem = self.config.private_key
        key = read_key(pem) if pem else await self.new_key()
        root = self.config.root_cert
        if not root:
            serial = await self.next_serial()
            name = authority_name("pri", unique_name(), self.trust_domain)
            uri = SigningId(self.trust_domain).uri
            root = await self._compute(key, lambda: certificates.make_root(key, serial, name, uri, self._host.wall_s()))
        await self.write(dataclasses.replace(state, private_key=pem or key_pem(key), root_cert=root))
        return root

    async def new_key(self) -> PrivateKey:
        """A key of the configured type and size."""
        kind, bits = self.config.private_key_type, self.config.private_key_bits
        if kind != RSA:
            return make_key(kind, bits)
        key: PrivateKey = await self._host.in_thread(lambda: make_key(kind, bits))
        return key

    def signer(self) -> Signer:
        """The certificate and key that sign leafs. Raises `RPCError`."""
        state = self.state
        pem = (state.root_cert if self.is_primary else state.intermediate_cert) if state is not None else ""
        if state is None or not state.private_key or not pem:
            raise RPCError("internal error: CA provider is nil: it is not set up yet")
        if self._signer is None or self._signer[0] != pem:
            self._signer = pem, Signer(certificates.read_certificate(pem), read_key(state.private_key))
        return self._signer[1]

    async def next_serial(self) -> int:
        """The serial of the next certificate. Raises `RPCError`."""
        serial: int = await self._host.submit(ConnectCA(CARequest(op=structs.INCREMENT_SERIAL)))
        return serial

    async def signed(self, job: Any, *, may_have_ended: bool = False) -> str:
        """The result of `job(signer, serial)`: a certificate in PEM. Raises `RPCError`.

        `may_have_ended`: sign also with a certificate that has ended, so that a new root can take its place.
        """
        signer = self.signer()
        if not may_have_ended:
            certificates.check_not_ended(signer.certificate, self._host.wall_s())
        serial = await self.next_serial()
        pem: str = await self._compute(signer.key, lambda: job(signer, serial))
        return pem

    async def delete(self) -> None:
        """Remove the stored state. Raises `RPCError`."""
        gone = CAProviderState(id=self.state_id)
        await self._host.submit(ConnectCA(CARequest(op=structs.DELETE_PROVIDER_STATE, provider_state=gone)))

    async def write(self, state: CAProviderState) -> None:
        """Store the provider's state. Raises `RPCError`."""
        await self._host.submit(ConnectCA(CARequest(op=structs.SET_PROVIDER_STATE, provider_state=state)))

    async def _compute(self, key: PrivateKey, job: Any) -> Any:
        """Run a job that signs; one with an RSA key in a thread."""
        try:
            if hasattr(key, "curve"):
                return job()
            return await self._host.in_thread(job)
        except ValueError as error:
            raise RPCError(f"error generating certificate: {error}") from None


def unique_name() -> str:
    """The random part of a CA's name: base 36."""
    number, digits = _SECRETS.getrandbits(_NAME_BITS), ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _other_provider(configuration: CAConfiguration) -> RPCError:
    provider, settings = configuration.provider, configuration.settings
    configuring = "error configuring provider: "
    if provider == "vault":
        if not settings.get("Token"):
            return RPCError(f"{configuring}must provide a Vault token")
        if not settings.get("RootPKIPath"):
            return RPCError(f"{configuring}must provide a valid path to a root PKI backend")
        if not settings.get("IntermediatePKIPath"):
            return RPCError(f"{configuring}must provide a valid path for the intermediate PKI backend")
        return RPCError(f"{configuring}the provider vault is not supported here, only {BUILT_IN}")
    if provider == "aws-pca":
        return RPCError(f"{configuring}the provider aws-pca is not supported here, only {BUILT_IN}")
    return RPCError(f'could not initialize provider: unknown CA provider "{provider}"')
