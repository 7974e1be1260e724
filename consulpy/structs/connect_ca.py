"""The certificate authority of Connect: roots, configuration, provider state, requests (docs/wire/connect.md)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import with_texts
from consulpy.codec.record import Record, go
from consulpy.gocompat.time import time_field
from consulpy.structs.requests import Reply, Write

#: Operations of `CARequest`.
SET_CONFIG: Final = "set-config"
SET_ROOTS: Final = "set-roots"
SET_ROOTS_CONFIG: Final = "set-roots-config"
SET_PROVIDER_STATE: Final = "set-provider-state"
DELETE_PROVIDER_STATE: Final = "delete-provider-state"
INCREMENT_SERIAL: Final = "increment-provider-serial"
#: The operation of `CALeafRequest`.
INCREMENT_INDEX: Final = "increment-index"

#: The provider that keeps its keys in the state store.
BUILT_IN: Final = "consul"
DISABLED: Final = "Connect must be enabled in order to use this endpoint"
STATE_READ_ONLY: Final = "Provider State is read-only. It must be omitted or identical to the current value"
RATE_LIMITED: Final = "Rate limit reached, try again later"
#: Names of settings of the CA in configuration files, and in the configuration that is stored.
NAMES_IN_FILE: Final[Mapping[str, str]] = {
    "address": "Address",
    "token": "Token",
    "root_pki_path": "RootPKIPath",
    "intermediate_pki_path": "IntermediatePKIPath",
    "ca_file": "CAFile",
    "ca_path": "CAPath",
    "cert_file": "CertFile",
    "key_file": "KeyFile",
    "tls_server_name": "TLSServerName",
    "tls_skip_verify": "TLSSkipVerify",
    "existing_arn": "ExistingARN",
    "delete_on_exit": "DeleteOnExit",
    "private_key": "PrivateKey",
    "root_cert": "RootCert",
    "rotation_period": "RotationPeriod",
    "intermediate_cert_ttl": "IntermediateCertTTL",
    "leaf_cert_ttl": "LeafCertTTL",
    "csr_max_per_second": "CSRMaxPerSecond",
    "csr_max_concurrent": "CSRMaxConcurrent",
    "private_key_type": "PrivateKeyType",
    "private_key_bits": "PrivateKeyBits",
}
#: The largest number that Go writes without an exponent.
_PLAIN_NUMBER_MAX: Final = 1e21


def config_json(config: Mapping[Any, Any] | None) -> Any:
    """The `Config` of a CA as Go's JSON shows it: names sorted, whole numbers without a fraction."""
    return None if config is None else _as_go(with_texts(dict(config)))


def _as_go(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_go(each) for key, each in sorted(value.items())}
    if isinstance(value, list):
        return [_as_go(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _PLAIN_NUMBER_MAX:
        return int(value)
    return value


@dataclass(slots=True)
class CARoot(Record):
    """A root certificate. `id`: SHA-1 of its DER; `signing_key_id`: SHA-256 of its public key, both in hex.

    `intermediate_certs`: what stands between it and leafs, or is it cross-signed by the root before it.
    `rotated_out_at`: year 1 while it is active.
    """

    id: str = go("ID", default="")
    name: str = ""
    serial_number: int = 0
    signing_key_id: str = go("SigningKeyID", default="")
    external_trust_domain: str = ""
    not_before: bytes = time_field()
    not_after: bytes = time_field()
    root_cert: str = ""
    intermediate_certs: list[str] | None = None
    signing_cert: str = go(omit_empty=True, default="")
    signing_key: str = go(omit_empty=True, default="")
    active: bool = False
    rotated_out_at: bytes = time_field(json="-")
    private_key_type: str = ""
    private_key_bits: int = 0
    create_index: int = 0
    modify_index: int = 0


@dataclass(slots=True)
class CAConfiguration(Record):
    """The configuration of the CA. `config`: settings of its provider, as they were given."""

    cluster_id: str = go("ClusterID", json="-", default="")
    provider: str = ""
    config: dict[str, Any] | None = go(json_as=config_json, default=None)
    state: dict[str, str] | None = None
    force_without_cross_signing: bool = False
    create_index: int = 0
    modify_index: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """`config` with texts as texts; numbers keep their type."""
        found: dict[str, Any] = with_texts(self.config or {})
        return found

    @property
    def trust_domain(self) -> str:
        """The host of all SPIFFE ids of the cluster; ends in `.consul` whatever the DNS domain."""
        return f"{self.cluster_id}.consul"


@dataclass(slots=True)
class CAProviderState(Record):
    """State of the built-in provider for one configuration: the private key of the CA, its root.

    `intermediate_cert`: in a secondary datacenter, the certificate of that key.
    """

    id: str = go("ID", default="")
    private_key: str = ""
    root_cert: str = ""
    intermediate_cert: str = ""
    create_index: int = 0
    modify_index: int = 0

    def __repr__(self) -> str:
        return f"CAProviderState(id={self.id!r}, modify_index={self.modify_index})"


@dataclass(slots=True)
class CARequest(Write):
    """Log entry 13 and ConnectCA.ConfigurationSet. `index`: that of the roots that were read."""

    op: str = ""
    index: int = 0
    roots: list[CARoot] | None = None
    config: CAConfiguration | None = None
    provider_state: CAProviderState | None = None


@dataclass(slots=True)
class CALeafRequest(Write):
    """Log entry 149: its index becomes that of a certificate."""

    op: str = ""


@dataclass(slots=True)
class CARootsReply(Reply):
    """ConnectCA.Roots."""

    active_root_id: str = go("ActiveRootID", default="")
    trust_domain: str = ""
    roots: list[CARoot] | None = None

    #: As in Consul, whose reply overwrites what the query knew of the leader.
    SAYS_LEADER: ClassVar[bool] = False

    def to_json(self) -> dict[str, Any]:
        """Without the metadata of the query, which are headers."""
        return {
            "ActiveRootID": self.active_root_id,
            "TrustDomain": self.trust_domain,
            "Roots": None if self.roots is None else [root.to_json() for root in self.roots],
        }


@dataclass(slots=True)
class CASignRequest(Write):
    """ConnectCA.Sign, ConnectCA.SignIntermediate, AutoEncrypt.Sign: a certificate signing request in PEM."""

    csr: str = go("CSR", default="")


@dataclass(slots=True)
class IssuedCert(Record):
    """A leaf certificate: of a service, or of an agent. `private_key_pem`: only at the agent that made it."""

    serial_number: str = ""
    cert_pem: str = go("CertPEM", default="")
    private_key_pem: str = go("PrivateKeyPEM", omit_empty=True, default="")
    service: str = go(omit_empty=True, default="")
    service_uri: str = go("ServiceURI", omit_empty=True, default="")
    agent: str = go(omit_empty=True, default="")
    agent_uri: str = go("AgentURI", omit_empty=True, default="")
    valid_after: bytes = time_field()
    valid_before: bytes = time_field()
    create_index: int = 0
    modify_index: int = 0

    def __repr__(self) -> str:
        return f"IssuedCert({self.service_uri or self.agent_uri}, serial={self.serial_number})"


@dataclass(slots=True)
class SignedReply(Record):
    """AutoEncrypt.Sign."""

    issued_cert: IssuedCert = go(default_factory=IssuedCert)
    connect_ca_roots: CARootsReply = go("ConnectCARoots", default_factory=CARootsReply)
    manual_ca_roots: list[str] | None = go("ManualCARoots", default=None)
    gossip_key: str = ""
    verify_server_hostname: bool = False
