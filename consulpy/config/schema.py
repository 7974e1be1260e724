"""Every key of the configuration, once: name in files, flag, default, unit, help, and whether a reload applies it.

Files, flags, help texts, validation and the reload report derive from this table. Other packages have small settings
of their own, which `consulpy.agent.build` fills from here. Key names and help texts are Consul's.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.config.key import Key, Kind, key, keys_of, section
from consulpy.config.sections import (
    NOTHING,
    AclSettings,
    Addresses,
    AutoEncrypt,
    AutopilotSettings,
    ConfigEntries,
    ConnectSettings,
    DnsSettings,
    GossipLan,
    GossipWan,
    HttpSettings,
    Limits,
    Performance,
    Ports,
    Telemetry,
    TlsBlocks,
    UiSettings,
    UnixSockets,
)

__all__ = ["KEYS", "RuntimeConfig"]


@dataclass(frozen=True)
class RuntimeConfig:
    """A complete, validated configuration of one agent, made by `config.load.load`."""

    datacenter: str = key(Kind.TEXT, "dc1", "Datacenter of the agent.", flag="datacenter")
    primary_datacenter: str = key(Kind.TEXT, "")
    acl: AclSettings = section(AclSettings)
    acl_datacenter: str = key(Kind.TEXT, "", "Before 1.4: access control is on, and this is the primary datacenter.")
    node_name: str = key(Kind.TEXT, "", "Name of this node. Must be unique in the cluster.", flag="node")
    node_id: str = key(
        Kind.TEXT,
        "",
        "A unique ID for this node across space and time. Defaults to a randomly-generated ID that persists in the "
        "data-dir.",
        flag="node-id",
    )
    node_meta: Mapping[str, str] = key(
        Kind.TEXT_MAP,
        NOTHING,
        "An arbitrary metadata key/value pair for this node, of the format `key:value`. Can be specified multiple "
        "times.",
        flag="node-meta",
        placeholder="key:value",
    )
    disable_host_node_id: bool = key(
        Kind.SWITCH,
        True,
        "Setting this to true will prevent Consul from using information from the host to generate a node ID, and "
        "will cause Consul to generate a random node ID instead.",
        flag="disable-host-node-id",
    )
    data_dir: str | None = key(Kind.TEXT, None, "Path to a data directory to store agent state.", flag="data-dir")
    server: bool = key(Kind.SWITCH, False, "Switches agent to server mode.", flag="server")
    bootstrap: bool = key(Kind.SWITCH, False, "Sets server to bootstrap mode.", flag="bootstrap")
    raft_snapshot_interval_s: float = key(Kind.DURATION, 0.0, "How often a server looks whether to compact; 0: 30 s.")
    raft_snapshot_threshold: int = key(Kind.WHOLE, 0, "Log entries that are compacted into a snapshot; 0: 16384.")
    raft_trailing_logs: int = key(Kind.WHOLE, 0, "Log entries that stay beside a snapshot; 0: 10240.")
    bootstrap_expect: int = key(Kind.WHOLE, 0, "Sets server to expect bootstrap mode.", flag="bootstrap-expect")
    #: -dev was given: a server in memory, on loopback. No key in files.
    dev_mode: bool = False
    #: Nothing is stored: -dev, or an agent inside a program. No key in files.
    in_memory: bool = False

    bind_addr: str = key(Kind.TEXT, "0.0.0.0", "Sets the bind address for cluster communication.", flag="bind")
    serf_lan_bind: str = key(
        Kind.TEXT, "", "Address to bind Serf LAN listeners to.", wire="serf_lan", flag="serf-lan-bind"
    )
    serf_wan_bind: str = key(
        Kind.TEXT, "", "Address to bind Serf WAN listeners to.", wire="serf_wan", flag="serf-wan-bind"
    )
    advertise_addr: str = key(Kind.TEXT, "", "Sets the advertise address to use.", flag="advertise")
    advertise_addr_ipv4: str = key(Kind.TEXT, "")
    advertise_addr_ipv6: str = key(Kind.TEXT, "")
    advertise_addr_wan: str = key(
        Kind.TEXT, "", "Sets address to advertise on WAN instead of -advertise address.", flag="advertise-wan"
    )
    advertise_addr_wan_ipv4: str = key(Kind.TEXT, "")
    advertise_addr_wan_ipv6: str = key(Kind.TEXT, "")
    translate_wan_addrs: bool = key(
        Kind.SWITCH, False, "Answer with the WAN addresses of what is in another datacenter."
    )
    #: Where HTTP and DNS listen, after templates: IP addresses or paths of sockets.
    client_addrs: tuple[str, ...] = key(
        Kind.TEXT,
        ("127.0.0.1",),
        "Sets the address to bind for client access. This includes RPC, DNS, HTTP, HTTPS and gRPC (if configured).",
        wire="client_addr",
        flag="client",
    )
    addresses: Addresses = section(Addresses)
    ports: Ports = section(Ports)
    serf_lan_allowed_cidrs: tuple[str, ...] = key(
        Kind.TEXTS,
        (),
        "Networks (eg: 192.168.1.0/24) allowed for Serf LAN. Can be specified multiple times.",
        flag="serf-lan-allowed-cidrs",
    )
    serf_wan_allowed_cidrs: tuple[str, ...] = key(
        Kind.TEXTS,
        (),
        "Networks (eg: 192.168.1.0/24) allowed for Serf WAN (other datacenters). Can be specified multiple times.",
        flag="serf-wan-allowed-cidrs",
    )
    unix_sockets: UnixSockets = section(UnixSockets)

    domain: str = key(Kind.TEXT, "consul.", "Domain to use for DNS interface.", flag="domain")
    alt_domain: str = key(Kind.TEXT, "", "Alternate domain to use for DNS interface.", flag="alt-domain")
    recursors: tuple[str, ...] = key(
        Kind.TEXTS,
        (),
        "Address of an upstream DNS server. Can be specified multiple times.",
        flag="recursor",
        reloadable=True,
    )
    dns_config: DnsSettings = section(DnsSettings)
    http_config: HttpSettings = section(HttpSettings)
    ui_config: UiSettings = section(UiSettings)
    ui: bool = key(Kind.SWITCH, False, "Enables the built-in static web UI server.", flag="ui")
    ui_dir: str = key(Kind.TEXT, "", "Path to directory containing the web UI resources.", flag="ui-dir")
    ui_content_path: str = key(
        Kind.TEXT, "/ui/", "Sets the external UI path to a string. Defaults to: /ui/", flag="ui-content-path"
    )

    start_join: tuple[str, ...] = key(
        Kind.TEXTS, (), "Address of an agent to join at start time. Can be specified multiple times.", flag="join"
    )
    start_join_wan: tuple[str, ...] = key(
        Kind.TEXTS,
        (),
        "Address of an agent to join -wan at start time. Can be specified multiple times.",
        flag="join-wan",
    )
    retry_join: tuple[str, ...] = key(
        Kind.TEXTS,
        (),
        "Address of an agent to join at start time with retries enabled. Can be specified multiple times.",
        flag="retry-join",
    )
    retry_join_wan: tuple[str, ...] = key(
        Kind.TEXTS,
        (),
        "Address of an agent to join -wan at start time with retries enabled. Can be specified multiple times.",
        flag="retry-join-wan",
    )
    retry_interval_s: float = key(Kind.DURATION, 30.0, "Time to wait between join attempts.", flag="retry-interval")
    retry_interval_wan_s: float = key(
        Kind.DURATION,
        30.0,
        "Time to wait between join -wan attempts.",
        wire="retry_interval_wan",
        flag="retry-interval-wan",
    )
    retry_max: int = key(
        Kind.WHOLE,
        0,
        "Maximum number of join attempts. Defaults to 0, which will retry indefinitely.",
        flag="retry-max",
    )
    retry_max_wan: int = key(
        Kind.WHOLE,
        0,
        "Maximum number of join -wan attempts. Defaults to 0, which will retry indefinitely.",
        flag="retry-max-wan",
    )
    rejoin_after_leave: bool = key(
        Kind.SWITCH, False, "Ignores a previous leave and attempts to rejoin the cluster.", flag="rejoin"
    )
    #: None: yes on a client, no on a server. See `leaves_on_terminate`.
    leave_on_terminate: bool | None = key(Kind.SWITCH)
    #: None: yes on a server, no on a client. See `skips_leave_on_interrupt`.
    skip_leave_on_interrupt: bool | None = key(Kind.SWITCH)
    reconnect_timeout_s: float = key(Kind.DURATION, 72 * 3600.0, wire="reconnect_timeout")
    advertise_reconnect_timeout_s: float = key(
        Kind.DURATION, 0.0, "The others forget this client so long after it failed; 0: after their own time."
    )
    reconnect_timeout_wan_s: float = key(Kind.DURATION, 72 * 3600.0, wire="reconnect_timeout_wan")
    gossip_lan: GossipLan = section(GossipLan)
    gossip_wan: GossipWan = section(GossipWan)
    disable_coordinates: bool = key(Kind.SWITCH, False)
    sync_coordinate_rate_target: float = 64.0
    protocol: int = key(Kind.WHOLE, 2, "Sets the protocol version. Defaults to latest.", flag="protocol")

    encrypt: str = key(Kind.TEXT, "", "Provides the gossip encryption key.", flag="encrypt", secret=True)
    encrypt_verify_incoming: bool = key(Kind.SWITCH, True)
    encrypt_verify_outgoing: bool = key(Kind.SWITCH, True)
    disable_keyring_file: bool = key(
        Kind.SWITCH, False, "Disables the backing up of the keyring to a file.", flag="disable-keyring-file"
    )

    log_level: str = key(Kind.TEXT, "INFO", "Log level of the agent.", flag="log-level", reloadable=True)
    log_json: bool = key(Kind.SWITCH, False, "Output logs in JSON format.", flag="log-json")
    log_file: str = key(Kind.TEXT, "", "Path to the file the logs get written to", flag="log-file")
    log_rotate_duration_s: float = key(
        Kind.DURATION, 0.0, "Time after which log rotation needs to be performed", flag="log-rotate-duration"
    )
    log_rotate_bytes: int = key(
        Kind.WHOLE, 0, "Maximum number of bytes that should be written to a log file", flag="log-rotate-bytes"
    )
    log_rotate_max_files: int = key(
        Kind.WHOLE, 0, "Maximum number of log file archives to keep", flag="log-rotate-max-files"
    )
    enable_syslog: bool = key(Kind.SWITCH, False, "Enables logging to syslog.", flag="syslog")
    syslog_facility: str = key(Kind.TEXT, "LOCAL0", "Facility of what goes to syslog.")
    auto_reload_config: bool = key(
        Kind.SWITCH,
        False,
        "Watches the configuration files, and those of certificates, and reloads when they change.",
        flag="auto-reload-config",
    )
    pid_file: str = key(Kind.TEXT, "", "Path to file to store agent PID.", flag="pid-file")
    enable_debug: bool = key(Kind.SWITCH, False)
    telemetry: Telemetry = section(Telemetry)

    #: Service and check definitions, and watches, as written (validated by the packages that run them).
    services: tuple[Mapping[str, Any], ...] = key(Kind.BLOCKS, (), reloadable=True)
    checks: tuple[Mapping[str, Any], ...] = key(Kind.BLOCKS, (), reloadable=True)
    watches: tuple[Mapping[str, Any], ...] = key(Kind.BLOCKS, (), reloadable=True)
    config_entries: ConfigEntries = section(ConfigEntries)
    default_intention_policy: str = key(
        Kind.TEXT, "", "Whether services may connect where no intention says so: allow or deny; else the ACL default."
    )
    enable_central_service_config: bool = key(
        Kind.SWITCH, False, "Merge proxy-defaults and service-defaults into the proxies of this agent."
    )
    connect: ConnectSettings = section(ConnectSettings)
    auto_encrypt: AutoEncrypt = section(AutoEncrypt)
    enable_script_checks: bool = key(Kind.SWITCH, False, "Enables health check scripts.", flag="enable-script-checks")
    enable_local_script_checks: bool = key(
        Kind.SWITCH,
        False,
        "Enables health check scripts from configuration file.",
        flag="enable-local-script-checks",
    )
    check_update_interval_s: float = key(Kind.DURATION, 300.0, wire="check_update_interval")
    check_output_max_size_bytes: int = key(
        Kind.WHOLE,
        4096,
        "Sets the maximum output size for checks on this agent",
        wire="check_output_max_size",
        flag="check_output_max_size",
    )
    discard_check_output: bool = key(Kind.SWITCH, False, reloadable=True)
    discovery_max_stale_s: float = key(Kind.DURATION, 0.0, wire="discovery_max_stale", reloadable=True)
    session_ttl_min_s: float = key(Kind.DURATION, 0.0, "Shortest TTL of a session.", wire="session_ttl_min")
    #: Named addresses of this node, beside `lan` and `wan`.
    tagged_addresses: Mapping[str, str] = key(Kind.TEXT_MAP, NOTHING)
    default_query_time_s: float = key(
        Kind.DURATION,
        300.0,
        "the amount of time a blocking query will wait before Consul will force a response. This value can be "
        "overridden by the 'wait' query parameter.",
        flag="default-query-time",
    )
    max_query_time_s: float = key(
        Kind.DURATION,
        600.0,
        "the maximum amount of time a blocking query can wait before Consul will force a response. Consul applies "
        "jitter to the wait time. The jittered time will be capped to MaxQueryTime.",
        flag="max-query-time",
    )
    disable_remote_exec: bool = key(Kind.SWITCH, True, "Whether `consul exec` is refused here.")
    enable_agent_tls_for_checks: bool = key(Kind.SWITCH, False, "Checks over TLS use the agent's CA and certificate.")
    ca_file: str = key(Kind.TEXT, "", "File of the CA certificates that are trusted (PEM).", reloadable=True)
    ca_path: str = key(Kind.TEXT, "", "Folder of such files.", reloadable=True)
    cert_file: str = key(Kind.TEXT, "", "File of the agent's certificate (PEM).", reloadable=True)
    key_file: str = key(Kind.TEXT, "", "File of its key (PEM).", reloadable=True)
    verify_incoming: bool = key(Kind.SWITCH, False, "Callers must present a certificate.", reloadable=True)
    verify_incoming_rpc: bool = key(Kind.SWITCH, False, "The same, on the server port only.", reloadable=True)
    verify_incoming_https: bool = key(Kind.SWITCH, False, "The same, on the HTTPS port only.", reloadable=True)
    verify_outgoing: bool = key(Kind.SWITCH, False, "Called servers must present a certificate.", reloadable=True)
    verify_server_hostname: bool = key(
        Kind.SWITCH, False, "And it must be that of server.DATACENTER.DOMAIN.", reloadable=True
    )
    tls_min_version: str = key(Kind.TEXT, "tls12", reloadable=True)
    tls_cipher_suites: str = key(Kind.TEXT, "", "Go's names, separated by commas; not for TLS 1.3.", reloadable=True)
    tls_prefer_server_cipher_suites: bool = key(Kind.SWITCH, False, reloadable=True)
    tls: TlsBlocks = section(TlsBlocks)
    #: Settings of `tls.https` that differ from those of port 8300, by the names of the flat keys.
    https_tls: Mapping[str, str] = dataclasses.field(default_factory=dict)
    server_name: str = key(Kind.TEXT, "", "Name in the certificates of what checks with the agent's TLS call.")
    performance: Performance = section(Performance)
    autopilot: AutopilotSettings = section(AutopilotSettings)
    limits: Limits = section(Limits)

    #: Files and directories that were read, for a reload.
    config_files: tuple[str, ...] = ()
    #: Warnings for the log: keys without effect, and settings that are probably mistakes.
    warnings: tuple[str, ...] = ()

    @property
    def uses_tls(self) -> bool:
        """Whether servers are called over TLS; gossiped as `use_tls`."""
        return bool(self.ca_file or self.ca_path)

    @property
    def leaves_on_terminate(self) -> bool:
        """Whether SIGTERM leaves the pools first (docs/wire/gossip.md 9.7)."""
        return not self.server if self.leave_on_terminate is None else self.leave_on_terminate

    @property
    def skips_leave_on_interrupt(self) -> bool:
        """Whether Ctrl-C ends the agent without leaving the pools."""
        return self.server if self.skip_leave_on_interrupt is None else self.skip_leave_on_interrupt


#: All supported keys by their name in files, with the names of the fields that lead to each.
KEYS: Final[Mapping[str, tuple[tuple[str, ...], Key]]] = {
    found.path: (names, found) for names, found in keys_of(RuntimeConfig)
}
