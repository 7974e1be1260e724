"""The TLS settings of an agent, and their consistency rules. No file is read here.

Source of rules and texts: Consul 1.8.7.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConfigError

#: Names in `tls_min_version`, the oldest first.
VERSIONS: Final = ("tls10", "tls11", "tls12", "tls13")
#: Go's names of the cipher suites that Consul takes (it refuses RSA key exchange and 3DES; ChaCha20 since
#: 1.11), and OpenSSL's.
CIPHERS: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificates (paths of PEM files; "": none), and which peers must present one.

    `cipher_suites`: Go's names, separated by commas; "": OpenSSL's default. `https`: whether there is an HTTPS
    port.
    """

    ca_file: str = ""
    ca_path: str = ""
    cert_file: str = ""
    key_file: str = ""
    verify_incoming_rpc: bool = False
    verify_incoming_https: bool = False
    verify_outgoing: bool = False
    #: Servers must be `server.DATACENTER.DOMAIN`.
    verify_server_hostname: bool = False
    domain: str = "consul"
    min_version: str = "tls12"
    cipher_suites: str = ""
    prefer_server_cipher_suites: bool = False
    https: bool = False
    #: Whether the certificate comes from the servers (`auto_encrypt.tls`).
    auto_encrypt: bool = False
    #: Settings that differ for HTTPS, by their names here.
    https_own: Mapping[str, str] = field(default_factory=dict)

    @property
    def of_https(self) -> "TlsSettings":
        """The settings of HTTPS."""
        changes: dict[str, Any] = {**self.https_own, "https_own": {}}
        return replace(self, **changes) if self.https_own else self

    @property
    def has_ca(self) -> bool:
        """Whether peers' certificates can be verified; servers that support TLS are then called over it."""
        return bool(self.ca_file or self.ca_path)

    @property
    def has_certificate(self) -> bool:
        """Whether there is a certificate with its key. As in Consul, one without a key counts as none."""
        return bool(self.cert_file and self.key_file)

    def server_name(self, datacenter: str) -> str:
        """The name in the certificates of a datacenter's servers."""
        return f"server.{datacenter}.{self.domain.rstrip('.')}"

    @property
    def ciphers(self) -> str:
        """The cipher suites of TLS 1.2 and before as OpenSSL names them, "": the default."""
        return ":".join(CIPHERS[name] for name in _names(self.cipher_suites))

    def check(self) -> None:
        """Raises `ConfigError` for inconsistent settings."""
        if self.min_version not in VERSIONS:
            raise ConfigError(
                f"TLSMinVersion: value {self.min_version} not supported, "
                f"please specify one of [{', '.join(VERSIONS)}] (tls_min_version)"
            )
        for name in _names(self.cipher_suites):
            if name not in CIPHERS:
                raise ConfigError(f'tls_cipher_suites: invalid tls cipher suites: unsupported cipher "{name}"')
        if self.verify_outgoing and not self.has_ca:
            raise ConfigError("VerifyOutgoing set, and no CA certificate provided! (ca_file or ca_path)")
        if self.https_own and self.https:
            replace(self.of_https, verify_incoming_rpc=False, verify_outgoing=False).check()
        if self.verify_incoming_rpc or (self.verify_incoming_https and not self.https_own):
            if not self.has_ca:
                raise ConfigError("VerifyIncoming set but no CA certificates were provided (ca_file or ca_path)")
            if not (self.has_certificate or self.auto_encrypt):
                raise ConfigError(
                    "VerifyIncoming requires either a Cert and Key pair in the configuration file, or "
                    "auto_encrypt/auto_config be enabled (cert_file, key_file)"
                )


def _names(text: str) -> list[str]:
    return [name for name in (part.strip() for part in text.split(",")) if name]
