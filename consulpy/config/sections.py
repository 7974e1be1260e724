"""The blocks of the configuration: ports, DNS, limits, gossip timing, ... each a small frozen dataclass.

Source of names and defaults: Consul's documentation, "Configuration"; `consul validate` and `/v1/agent/self` of Consul
1.8.7.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.config.key import Kind, Support, key, section

#: The empty default of maps.
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Ports:
    """Where the agent listens; -1 switches a listener off."""

    dns: int = key(Kind.WHOLE, 8600, "DNS port to use.", flag="dns-port")
    http: int = key(Kind.WHOLE, 8500, "Sets the HTTP API port to listen on.", flag="http-port")
    https: int = key(Kind.WHOLE, -1, "Sets the HTTPS API port to listen on.", flag="https-port")
    grpc: int = key(
        Kind.WHOLE,
        -1,
        "Sets the gRPC API port to listen on (currently needed for Envoy xDS only).",
        flag="grpc-port",
        support=Support.IGNORED,
    )
    serf_lan: int = key(Kind.WHOLE, 8301, "Sets the Serf LAN port to listen on.", flag="serf-lan-port")
    serf_wan: int = key(Kind.WHOLE, 8302, "Sets the Serf WAN port to listen on.", flag="serf-wan-port")
    server: int = key(Kind.WHOLE, 8300, "Sets the server port to listen on.", flag="server-port")
    sidecar_min_port: int = key(Kind.WHOLE, 21000, "The first port for sidecars without one; 0: none.")
    sidecar_max_port: int = key(Kind.WHOLE, 21255, "The last port for sidecars without one.")
    expose_min_port: int = key(Kind.WHOLE, 21500, support=Support.IGNORED)
    expose_max_port: int = key(Kind.WHOLE, 21755, support=Support.IGNORED)


@dataclass(frozen=True)
class Addresses:
    """Client addresses of single listeners instead of `client_addr`; blanks separate several."""

    dns: str = key(Kind.TEXT, "")
    http: str = key(Kind.TEXT, "")
    https: str = key(Kind.TEXT, "")
    grpc: str = key(Kind.TEXT, "", support=Support.IGNORED)


@dataclass(frozen=True)
class Soa:
    """Fields of the SOA record, in seconds."""

    refresh_s: int = key(Kind.WHOLE, 3600, reloadable=True)
    retry_s: int = key(Kind.WHOLE, 600, reloadable=True)
    expire_s: int = key(Kind.WHOLE, 86400, reloadable=True)
    min_ttl_s: int = key(Kind.WHOLE, 0, reloadable=True)


@dataclass(frozen=True)
class DnsSettings:
    """Settings of the DNS server."""

    allow_stale: bool = key(Kind.SWITCH, True, "Any server may answer, not only the leader.", reloadable=True)
    a_record_limit: int = key(Kind.WHOLE, 0, "Most A or AAAA records in an answer; 0: no limit.", reloadable=True)
    disable_compression: bool = key(Kind.SWITCH, False, "Do not compress names.", reloadable=True)
    enable_truncate: bool = key(Kind.SWITCH, False, "Set TC when records were left out.", reloadable=True)
    max_stale_s: float = key(Kind.DURATION, 87600 * 3600.0, "Older stale answers go to the leader.", reloadable=True)
    node_ttl_s: float = key(Kind.DURATION, 0.0, "TTL of node answers.", reloadable=True)
    service_ttl_s: Mapping[str, float] = key(
        Kind.DURATION_MAP, NOTHING, 'TTL of service answers; "*" and trailing "*" match.', reloadable=True
    )
    only_passing: bool = key(Kind.SWITCH, False, "Leave out services with warnings too.", reloadable=True)
    recursor_timeout_s: float = key(Kind.DURATION, 2.0, "How long to wait for a recursor.", reloadable=True)
    recursor_strategy: str = key(Kind.TEXT, "", "sequential or random: the order of recursors.", reloadable=True)
    udp_answer_limit: int = key(Kind.WHOLE, 3, "Most records in a UDP answer without EDNS.", reloadable=True)
    enable_additional_node_meta_txt: bool = key(Kind.SWITCH, True, "Add node metadata as TXT.", reloadable=True)
    use_cache: bool = key(Kind.SWITCH, False, "Answer from the agent's cache.", reloadable=True)
    cache_max_age_s: float = key(Kind.DURATION, 0.0, "Oldest cached answer; 0: any.", reloadable=True)
    soa: Soa = section(Soa)


@dataclass(frozen=True)
class Performance:
    """Trade of speed and load."""

    leave_drain_time_s: float = key(Kind.DURATION, 5.0, "A server keeps serving after a leave for so long.")
    raft_multiplier: int = key(Kind.WHOLE, 5, "Scales Raft's timings; 1 is the fastest.")
    rpc_hold_timeout_s: float = key(Kind.DURATION, 7.0, "How long a request waits for a leader.")


@dataclass(frozen=True)
class AutopilotSettings:
    """The first autopilot configuration of a datacenter, written by its first leader; later the API changes it."""

    cleanup_dead_servers: bool = key(Kind.SWITCH, True, "Take failed servers out of the quorum.")
    last_contact_threshold_s: float = key(Kind.DURATION, 0.2, "A server heard of longer ago is unhealthy.")
    max_trailing_logs: int = key(Kind.WHOLE, 250, "A server that is further behind is unhealthy.")
    min_quorum: int = key(Kind.WHOLE, 0, "As many servers stay, also failed ones.")
    server_stabilization_time_s: float = key(Kind.DURATION, 10.0, "A new server votes once healthy for so long.")
    redundancy_zone_tag: str = key(Kind.TEXT, "", "Stored; of Consul Enterprise.")
    disable_upgrade_migration: bool = key(Kind.SWITCH, False, "Stored; of Consul Enterprise.")
    upgrade_version_tag: str = key(Kind.TEXT, "", "Stored; of Consul Enterprise.")


@dataclass(frozen=True)
class RequestLimits:
    """The rates of calls that a server takes (Consul 1.15)."""

    mode: str = key(Kind.TEXT, "disabled", "disabled, permissive (log only) or enforcing.", reloadable=True)
    read_rate: float = key(Kind.NUMBER, -1.0, "Reads a second; -1: no limit.", reloadable=True)
    write_rate: float = key(Kind.NUMBER, -1.0, "Writes a second; -1: no limit.", reloadable=True)


@dataclass(frozen=True)
class Limits:
    """Bounds on what clients may ask for; 0 means none."""

    http_max_conns_per_client: int = key(Kind.WHOLE, 200, reloadable=True)
    https_handshake_timeout_s: float = key(Kind.DURATION, 5.0)
    rpc_handshake_timeout_s: float = key(Kind.DURATION, 5.0)
    rpc_client_timeout_s: float = key(
        Kind.DURATION,
        60.0,
        "How long a client waits for a server's reply, beside the wait of a blocking query; 0: any time.",
        reloadable=True,
    )
    rpc_max_burst: int = key(Kind.WHOLE, 1000, reloadable=True)
    rpc_max_conns_per_client: int = key(Kind.WHOLE, 100)
    rpc_rate: float = key(Kind.NUMBER, -1.0, "Requests a second to servers; -1: no limit.", reloadable=True)
    kv_max_value_size_bytes: int = key(Kind.WHOLE, 512 * 1024, "Of one value.", wire="kv_max_value_size")
    txn_max_req_len_bytes: int = key(Kind.WHOLE, 512 * 1024, "Of a transaction's body.", wire="txn_max_req_len")
    http_max_request_body_size_bytes: int = key(
        Kind.WHOLE, 0, "Of a request's body; 0: 8 MiB.", wire="http_max_request_body_size"
    )
    request_limits: RequestLimits = section(RequestLimits)
    txn_max_ops: int = key(Kind.WHOLE, 128, "Operations of one transaction (fixed in Consul: 64, 128 since 1.14).")


@dataclass(frozen=True)
class AclTokens:
    """Tokens of the agent itself; each may also be set over HTTP."""

    master: str = key(Kind.TEXT, "", "Secret of the management token that the first leader makes.", secret=True)
    agent_master: str = key(
        Kind.TEXT, "", "Rights on this agent alone, also without servers.", reloadable=True, secret=True
    )
    default: str = key(Kind.TEXT, "", "For requests without a token, and DNS.", reloadable=True, secret=True)
    agent: str = key(
        Kind.TEXT, "", "For the agent's own catalog updates; else the default token.", reloadable=True, secret=True
    )
    replication: str = key(Kind.TEXT, "", "For copying from the primary datacenter.", reloadable=True, secret=True)
    dns: str = key(Kind.TEXT, "", "For DNS; else the default token.", reloadable=True, secret=True)
    config_file_service_registration: str = key(
        Kind.TEXT,
        "",
        "For services and checks of configuration files that have no token; else the default token.",
        reloadable=True,
        secret=True,
    )


@dataclass(frozen=True)
class AclSettings:
    """Access control."""

    enabled: bool = key(Kind.SWITCH, False, "Whether there is access control.")
    default_policy: str = key(Kind.TEXT, "allow", "The decision where no rule applies: allow or deny.")
    down_policy: str = key(Kind.TEXT, "extend-cache", "What a client does without servers.")
    token_ttl_s: float = key(Kind.DURATION, 30.0, "How long a client caches a token.", wire="token_ttl")
    policy_ttl_s: float = key(Kind.DURATION, 30.0, "How long a client caches a policy.", wire="policy_ttl")
    role_ttl_s: float = key(Kind.DURATION, 30.0, "How long a client caches a role.", wire="role_ttl")
    enable_key_list_policy: bool = key(Kind.SWITCH, False, "Whether listing keys is a right of its own.")
    enable_token_persistence: bool = key(Kind.SWITCH, False, "Store tokens that were set over HTTP.")
    enable_token_replication: bool = key(Kind.SWITCH, False, "Copy tokens from the primary datacenter.")
    tokens: AclTokens = section(AclTokens)


@dataclass(frozen=True)
class GossipLan:
    """Timing of the LAN pool; None: memberlist's LAN profile (docs/wire/gossip.md 5.10)."""

    gossip_nodes: int | None = key(Kind.WHOLE)
    gossip_interval_s: float | None = key(Kind.DURATION)
    probe_interval_s: float | None = key(Kind.DURATION)
    probe_timeout_s: float | None = key(Kind.DURATION)
    suspicion_mult: int | None = key(Kind.WHOLE)
    retransmit_mult: int | None = key(Kind.WHOLE)


@dataclass(frozen=True)
class GossipWan(GossipLan):
    """Timing of the WAN pool; None: memberlist's WAN profile."""


@dataclass(frozen=True)
class Telemetry:
    """Where metrics go."""

    disable_hostname: bool = key(Kind.SWITCH, False)
    dogstatsd_addr: str = key(Kind.TEXT, "", "host:port of a DogStatsD.")
    dogstatsd_tags: tuple[str, ...] = key(Kind.TEXTS, (), "Tags on every value sent there, as name:value.")
    filter_default: bool = key(Kind.SWITCH, True, reloadable=True)
    metrics_prefix: str = key(Kind.TEXT, "consul")
    prefix_filter: tuple[str, ...] = key(Kind.TEXTS, (), reloadable=True)
    prometheus_retention_time_s: float = key(Kind.DURATION, 0.0, "0: no Prometheus form.")
    statsd_address: str = key(Kind.TEXT, "", "host:port of a StatsD.")
    statsite_address: str = key(Kind.TEXT, "", "host:port of a statsite (TCP).")


@dataclass(frozen=True)
class HttpSettings:
    """Settings of the HTTP server."""

    allow_write_http_from: tuple[str, ...] = key(
        Kind.TEXTS,
        (),
        "Only allow write endpoint calls from given network. CIDR format, can be specified multiple times.",
        flag="allow-write-http-from",
    )
    block_endpoints: tuple[str, ...] = key(Kind.TEXTS, ())
    response_headers: Mapping[str, str] = key(Kind.TEXT_MAP, NOTHING)
    use_cache: bool = key(Kind.SWITCH, True, "Whether `?cached` may be answered from the agent cache.")
    max_header_bytes: int = key(Kind.WHOLE, 0, "Of request line and headers; 0: 1 MiB.")
    #: None: our defaults, which suit blocking queries.
    read_timeout_s: float | None = key(Kind.DURATION, None, "For the arrival of a request; 0: no limit.")
    read_header_timeout_s: float | None = key(Kind.DURATION, None, "For the arrival of its head.")
    write_timeout_s: float | None = key(Kind.DURATION, None, "How long a client may take nothing of a response.")
    idle_timeout_s: float | None = key(Kind.DURATION, None, "How long a connection is kept without a request.")


@dataclass(frozen=True)
class UiSettings:
    """Pages that use the API from a browser."""

    allowed_hosts: tuple[str, ...] = key(
        Kind.TEXTS, (), "Hosts whose pages may change something; without it those of this host, and of IP addresses."
    )


@dataclass(frozen=True)
class UnixSockets:
    """Owner and mode of the sockets of unix:// listeners."""

    user: str = key(Kind.TEXT, "")
    group: str = key(Kind.TEXT, "")
    mode: str = key(Kind.TEXT, "")


@dataclass(frozen=True)
class TlsOf:
    """TLS of one listener and its callers, or of all: Consul's form since 1.12. None: as `tls.defaults` has it."""

    ca_file: str | None = key(Kind.TEXT, reloadable=True)
    ca_path: str | None = key(Kind.TEXT, reloadable=True)
    cert_file: str | None = key(Kind.TEXT, reloadable=True)
    key_file: str | None = key(Kind.TEXT, reloadable=True)
    tls_min_version: str | None = key(Kind.TEXT, reloadable=True)
    tls_cipher_suites: str | None = key(Kind.TEXT, reloadable=True)
    verify_incoming: bool | None = key(Kind.SWITCH, reloadable=True)
    verify_outgoing: bool | None = key(Kind.SWITCH, reloadable=True)


@dataclass(frozen=True)
class TlsOfRpc(TlsOf):
    """TLS of the server port, 8300."""

    verify_server_hostname: bool | None = key(Kind.SWITCH, reloadable=True)


@dataclass(frozen=True)
class TlsBlocks:
    """The block `tls`; `config.tls_blocks` puts it into the flat keys."""

    defaults: TlsOfRpc = section(TlsOfRpc)
    internal_rpc: TlsOfRpc = section(TlsOfRpc)
    https: TlsOf = section(TlsOf)


@dataclass(frozen=True)
class ConnectSettings:
    """The service mesh."""

    enabled: bool = key(Kind.SWITCH, False, "Whether services get certificates from a certificate authority.")
    ca_provider: str = key(Kind.TEXT, "", "What signs: consul, the built-in one.")
    #: By the names of `structs.connect_ca.NAMES_IN_FILE`'s values.
    ca_config: Mapping[str, Any] = key(
        Kind.VALUE_MAP, NOTHING, "Settings of the CA that the first leader writes.", secret=True
    )


@dataclass(frozen=True)
class AutoEncrypt:
    """Certificates for agents from the certificate authority of the servers."""

    allow_tls: bool = key(Kind.SWITCH, False, "A server gives certificates to clients.")
    tls: bool = key(Kind.SWITCH, False, "A client asks the servers for its certificate.")
    dns_san: tuple[str, ...] = key(Kind.TEXTS, (), "Names in that certificate, beside localhost.")
    ip_san: tuple[str, ...] = key(Kind.TEXTS, (), "Addresses in it, beside 127.0.0.1 and ::1.")


@dataclass(frozen=True)
class ConfigEntries:
    """Config entries that a server bootstraps."""

    bootstrap: tuple[Mapping[str, Any], ...] = key(Kind.BLOCKS, (), "Written by a leader that does not find them.")
