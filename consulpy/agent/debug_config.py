"""`DebugConfig` in `/v1/agent/self`: the whole configuration under Consul's names and in its spellings.

Durations are Go's (`5m0s`), listeners URLs. Unsupported settings have Consul's value for
"off", or its default. Secrets are hidden (`consulpy.codec.secrets`). Names and spellings: real Consul 1.8.7.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final

from consulpy import CONSUL_VERSION
from consulpy.agent.debug_definitions import shown_checks, shown_services
from consulpy.codec.secrets import HIDDEN, without_secrets
from consulpy.config.schema import RuntimeConfig
from consulpy.config.sections import AclSettings
from consulpy.gocompat.duration import format_duration_ns
from consulpy.memberlist.config import MemberlistConfig

#: Settings of unsupported features: automatic configuration, parts of the mesh, segments.
_UNUSED: Final[dict[str, Any]] = {
    "AutoConfig": {
        "Authorizer": {
            "AllowReuse": False,
            "AuthMethod": {
                "ACLAuthMethodEnterpriseFields": {},
                "Config": {
                    **dict.fromkeys(("BoundAudiences", "ClaimMappings", "JWTSupportedAlgs", "JWTValidationPubKeys")),
                    **dict.fromkeys(("BoundIssuer", "JWKSCACert", "JWKSURL", "OIDCDiscoveryCACert"), ""),
                    **dict.fromkeys(("ClockSkewLeeway", "ExpirationLeeway", "NotBeforeLeeway"), 0),
                    "ListClaimMappings": None,
                    "OIDCDiscoveryURL": "",
                },
                "Description": "",
                "DisplayName": "",
                "EnterpriseMeta": {},
                "MaxTokenTTL": "0s",
                "Name": "Auto Config Authorizer",
                "RaftIndex": {"CreateIndex": 0, "ModifyIndex": 0},
                "TokenLocality": "",
                "Type": "jwt",
            },
            "ClaimAssertions": [],
            "Enabled": False,
        },
        "DNSSANs": [],
        "Enabled": False,
        "IPSANs": [],
        "IntroToken": "hidden",
        "IntroTokenFile": "",
        "ServerAddresses": [],
    },
    "ConnectMeshGatewayWANFederationEnabled": False,
    "ConnectTestCALeafRootChangeSpread": "0s",
    "EnterpriseRuntimeConfig": {},
    "NonVotingServer": False,
    "PrimaryGateways": [],
    "PrimaryGatewaysInterval": "30s",
    "Revision": "",
    "SegmentLimit": 64,
    "SegmentName": "",
    "SegmentNameLimit": 64,
    "Segments": [],
    "VersionPrerelease": "",
}
#: Secrets that are always hidden, set or not.
_HIDDEN: Final = (
    "ACLAgentMasterToken", "ACLAgentToken", "ACLMasterToken", "ACLReplicationToken", "ACLToken", "EncryptKey", "KeyFile"
)  # fmt: skip
_TIMINGS: Final = {
    "GossipInterval": "gossip_interval_s",
    "GossipNodes": "gossip_nodes",
    "ProbeInterval": "probe_interval_s",
    "ProbeTimeout": "probe_timeout_s",
    "RetransmitMult": "retransmit_mult",
    "SuspicionMult": "suspicion_mult",
}
#: Consul shows its default domain with a trailing dot, others without.
_DOMAIN: Final = "consul."
#: The default reconnect timeout, in seconds: Consul shows it as 0.
_RECONNECT_S: Final = 72 * 3600.0
#: Settings of a sink of metrics that this agent does not have, without the first word of their names.
_CIRCONUS: Final = (
    *("APIApp", "APIURL", "BrokerID", "BrokerSelectTag", "CheckDisplayName", "CheckForceMetricActivation", "CheckID"),
    *("CheckInstanceID", "CheckSearchTag", "CheckTags", "SubmissionInterval", "SubmissionURL"),
)


def debug_config(config: RuntimeConfig) -> dict[str, Any]:
    """All of Consul's settings by name, in alphabetical order."""
    shown = {
        **_UNUSED,
        **_acl(config),
        **_node(config),
        **_listeners(config),
        **_checks_and_queries(config),
        **_dns(config),
        **_gossip(config),
        **_http_and_tls(config),
        **_servers(config),
        "Logging": _logging(config),
        "Telemetry": _telemetry(config),
    }
    shown = {name: without_secrets(shown[name], name) for name in sorted(shown.keys() - set(_HIDDEN))}
    found: dict[str, Any] = _sorted({**shown, **dict.fromkeys(_HIDDEN, HIDDEN)})
    return found


def _sorted(value: Any) -> Any:
    """The value with the names at all levels in alphabetical order, as Go writes a map."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return list(map(_sorted, value)) if isinstance(value, list) else value


def tagged_addresses(config: RuntimeConfig) -> dict[str, str]:
    """The agent's tagged addresses in the catalog."""
    found = {**config.tagged_addresses, "lan": config.advertise_addr, "wan": config.advertise_addr_wan}
    for name in ("lan", "wan"):
        found[f"{name}_ipv{6 if ':' in found[name] else 4}"] = found[name]
    return found


def _time(seconds: float) -> str:
    return format_duration_ns(round(seconds * 1e9))


def _url(host: str, port: int, scheme: str = "tcp") -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _urls(config: RuntimeConfig, own: str, port: int, *schemes: str) -> list[str]:
    """URLs of one listener: at its own addresses `own`, else at `client_addr`."""
    if port < 0:
        return []
    hosts = own.split() or list(config.client_addrs)
    return [host if host.startswith("unix://") else _url(host, port, scheme) for scheme in schemes for host in hosts]


def _bootstrap(config: RuntimeConfig) -> list[Any]:
    """The config entries of the file in the HTTP API's form."""
    if not config.config_entries.bootstrap:
        return []
    from consulpy.config.bootstrap_entries import entries_of  # not needed without any

    return [entry.to_json() for entry in entries_of(config.config_entries.bootstrap)]


def _plain(blocks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(block) for block in blocks]


def _acl(config: RuntimeConfig) -> dict[str, Any]:
    """Access control, without any secret."""
    acl = config.acl
    return {
        "ACLsEnabled": acl.enabled,
        "ACLDefaultPolicy": acl.default_policy,
        "ACLDownPolicy": acl.down_policy,
        "ACLDisabledTTL": "2m0s",
        "ACLEnableKeyListPolicy": acl.enable_key_list_policy,
        "ACLEnableTokenPersistence": acl.enable_token_persistence,
        "ACLTokenReplication": acl.enable_token_replication,
        "ACLTokenTTL": _time(acl.token_ttl_s),
        "ACLPolicyTTL": _time(acl.policy_ttl_s),
        # The real one shows what is written here and uses 30 s where nothing is.
        "ACLRoleTTL": "0s" if acl.role_ttl_s == AclSettings().role_ttl_s else _time(acl.role_ttl_s),
    }


def _node(config: RuntimeConfig) -> dict[str, Any]:
    return {
        "ACLDatacenter": config.primary_datacenter or config.datacenter,
        "Datacenter": config.datacenter,
        "DataDir": config.data_dir or "",
        "DevMode": config.dev_mode,
        "DisableAnonymousSignature": False,
        "DisableHostNodeID": config.disable_host_node_id,
        "DisableRemoteExec": config.disable_remote_exec,
        "DisableUpdateCheck": False,
        "EnableDebug": config.enable_debug,
        "LeaveDrainTime": _time(config.performance.leave_drain_time_s),
        "LeaveOnTerm": config.leaves_on_terminate,
        "NodeID": config.node_id,
        "NodeMeta": dict(config.node_meta),
        "NodeName": config.node_name,
        "PidFile": config.pid_file,
        "PrimaryDatacenter": config.primary_datacenter or config.datacenter,
        "SkipLeaveOnInt": config.skips_leave_on_interrupt,
        "TaggedAddresses": tagged_addresses(config),
        "TranslateWANAddrs": config.translate_wan_addrs,
        "Version": CONSUL_VERSION,
    }


def _listeners(config: RuntimeConfig) -> dict[str, Any]:
    ports, addresses = config.ports, config.addresses
    lan, wan = config.serf_lan_bind or config.bind_addr, config.serf_wan_bind or config.bind_addr
    return {
        "AdvertiseAddrLAN": config.advertise_addr,
        "AdvertiseAddrWAN": config.advertise_addr_wan,
        "BindAddr": config.bind_addr,
        "ClientAddrs": list(config.client_addrs),
        "ConnectSidecarMaxPort": ports.sidecar_max_port,
        "ConnectSidecarMinPort": ports.sidecar_min_port,
        "DNSAddrs": _urls(config, addresses.dns, ports.dns, "tcp", "udp"),
        "DNSPort": ports.dns,
        "ExposeMaxPort": ports.expose_max_port,
        "ExposeMinPort": ports.expose_min_port,
        "GRPCAddrs": [],
        "GRPCPort": -1,
        "HTTPAddrs": _urls(config, addresses.http, ports.http, "tcp"),
        "HTTPPort": ports.http,
        "HTTPSAddrs": _urls(config, addresses.https, ports.https, "tcp"),
        "HTTPSPort": ports.https,
        "RPCAdvertiseAddr": _url(config.advertise_addr, ports.server),
        "RPCBindAddr": _url(config.bind_addr, ports.server),
        "SerfAdvertiseAddrLAN": _url(config.advertise_addr, ports.serf_lan),
        "SerfAdvertiseAddrWAN": _url(config.advertise_addr_wan, ports.serf_wan) if ports.serf_wan > 0 else "",
        "SerfBindAddrLAN": _url(lan, ports.serf_lan),
        "SerfBindAddrWAN": _url(wan, ports.serf_wan) if ports.serf_wan > 0 else "",
        "SerfPortLAN": ports.serf_lan,
        "SerfPortWAN": ports.serf_wan,
        "ServerPort": ports.server,
        "UnixSocketGroup": config.unix_sockets.group,
        "UnixSocketMode": config.unix_sockets.mode,
        "UnixSocketUser": config.unix_sockets.user,
    }


def _checks_and_queries(config: RuntimeConfig) -> dict[str, Any]:
    return {
        "AEInterval": "1m0s",
        "Cache": {"EntryFetchMaxBurst": 2, "EntryFetchRate": 1.7976931348623157e308},
        "CheckDeregisterIntervalMin": "1m0s",
        "CheckOutputMaxSize": config.check_output_max_size_bytes,
        "CheckReapInterval": "30s",
        "CheckUpdateInterval": _time(config.check_update_interval_s),
        "Checks": shown_checks(config.checks),
        "ConfigEntryBootstrap": _bootstrap(config),
        "EnableCentralServiceConfig": config.enable_central_service_config,
        "DefaultQueryTime": _time(config.default_query_time_s),
        "DiscardCheckOutput": config.discard_check_output,
        "DiscoveryMaxStale": _time(config.discovery_max_stale_s),
        "EnableAgentTLSForChecks": config.enable_agent_tls_for_checks,
        "EnableLocalScriptChecks": config.enable_local_script_checks,
        "EnableRemoteScriptChecks": config.enable_script_checks,
        "MaxQueryTime": _time(config.max_query_time_s),
        "Services": shown_services(config.services),
        "SessionTTLMin": _time(config.session_ttl_min_s),
        "Watches": _plain(config.watches),
    }


def _dns(config: RuntimeConfig) -> dict[str, Any]:
    dns, soa = config.dns_config, config.dns_config.soa
    return {
        "DNSARecordLimit": dns.a_record_limit,
        "DNSAllowStale": dns.allow_stale,
        "DNSAltDomain": config.alt_domain.removesuffix("."),
        "DNSCacheMaxAge": _time(dns.cache_max_age_s),
        "DNSDisableCompression": dns.disable_compression,
        "DNSDomain": config.domain if config.domain == _DOMAIN else config.domain.removesuffix("."),
        "DNSEnableTruncate": dns.enable_truncate,
        "DNSMaxStale": _time(dns.max_stale_s),
        "DNSNodeMetaTXT": dns.enable_additional_node_meta_txt,
        "DNSNodeTTL": _time(dns.node_ttl_s),
        "DNSOnlyPassing": dns.only_passing,
        "DNSRecursorTimeout": _time(dns.recursor_timeout_s),
        "DNSRecursors": list(config.recursors),
        "DNSSOA": {"Expire": soa.expire_s, "Minttl": soa.min_ttl_s, "Refresh": soa.refresh_s, "Retry": soa.retry_s},
        "DNSServiceTTL": {name: _time(ttl_s) for name, ttl_s in dns.service_ttl_s.items()},
        "DNSUDPAnswerLimit": dns.udp_answer_limit,
        "DNSUseCache": dns.use_cache,
    }


def _gossip(config: RuntimeConfig) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "DisableCoordinates": config.disable_coordinates,
        "DisableKeyringFile": config.disable_keyring_file,
        "EncryptVerifyIncoming": config.encrypt_verify_incoming,
        "EncryptVerifyOutgoing": config.encrypt_verify_outgoing,
        "ReconnectTimeoutLAN": _reconnect(config.reconnect_timeout_s),
        "ReconnectTimeoutWAN": _reconnect(config.reconnect_timeout_wan_s),
        "RejoinAfterLeave": config.rejoin_after_leave,
        "RetryJoinIntervalLAN": _time(config.retry_interval_s),
        "RetryJoinIntervalWAN": _time(config.retry_interval_wan_s),
        "RetryJoinLAN": list(config.retry_join),
        "RetryJoinMaxAttemptsLAN": config.retry_max,
        "RetryJoinMaxAttemptsWAN": config.retry_max_wan,
        "RetryJoinWAN": list(config.retry_join_wan),
        "SerfAllowedCIDRsLAN": list(config.serf_lan_allowed_cidrs),
        "SerfAllowedCIDRsWAN": list(config.serf_wan_allowed_cidrs),
        "StartJoinAddrsLAN": list(config.start_join),
        "StartJoinAddrsWAN": list(config.start_join_wan),
        "SyncCoordinateIntervalMin": "15s",
        "SyncCoordinateRateTarget": round(config.sync_coordinate_rate_target),
    }
    who: dict[str, Any] = {"name": config.node_name, "advertise": (config.advertise_addr, config.ports.serf_lan)}
    profiles = (
        ("GossipLAN", config.gossip_lan, MemberlistConfig.lan(**who)),
        ("GossipWAN", config.gossip_wan, MemberlistConfig.wan(**who, gossip_nodes=3)),
    )
    for prefix, settings, profile in profiles:
        for name, attribute in _TIMINGS.items():
            value = getattr(settings, attribute)
            value = getattr(profile, attribute) if value is None else value
            shown[prefix + name] = _time(value) if attribute.endswith("_s") else value
    return shown


def _reconnect(seconds: float) -> str:
    return "0s" if seconds == _RECONNECT_S else _time(seconds)


def _http_and_tls(config: RuntimeConfig) -> dict[str, Any]:
    http, limits = config.http_config, config.limits
    auto, connect = config.auto_encrypt, config.connect
    return {
        "AllowWriteHTTPFrom": list(http.allow_write_http_from),
        "AutoEncryptAllowTLS": auto.allow_tls,
        "AutoEncryptDNSSAN": list(auto.dns_san),
        "AutoEncryptIPSAN": [list(_as_go_ip(each)) for each in auto.ip_san],
        "AutoEncryptTLS": auto.tls,
        "ConnectCAConfig": dict(connect.ca_config),
        "ConnectCAProvider": connect.ca_provider,
        "ConnectEnabled": connect.enabled,
        "CAFile": config.ca_file,
        "CAPath": config.ca_path,
        "CertFile": config.cert_file,
        "DisableHTTPUnprintableCharFilter": False,
        "EnableUI": config.ui,
        "HTTPBlockEndpoints": list(http.block_endpoints),
        "HTTPMaxConnsPerClient": limits.http_max_conns_per_client,
        "HTTPResponseHeaders": dict(http.response_headers),
        "HTTPSHandshakeTimeout": _time(limits.https_handshake_timeout_s),
        "HTTPUseCache": http.use_cache,
        "KVMaxValueSize": limits.kv_max_value_size_bytes,
        "ServerName": config.server_name,
        "TLSCipherSuites": [name for name in config.tls_cipher_suites.replace(" ", "").split(",") if name],
        "TLSMinVersion": config.tls_min_version,
        "TLSPreferServerCipherSuites": config.tls_prefer_server_cipher_suites,
        "UIContentPath": config.ui_content_path,
        "UIDir": config.ui_dir,
        "TxnMaxReqLen": limits.txn_max_req_len_bytes,
        "VerifyIncoming": config.verify_incoming,
        "VerifyIncomingHTTPS": config.verify_incoming_https,
        "VerifyIncomingRPC": config.verify_incoming_rpc,
        "VerifyOutgoing": config.verify_outgoing,
        "VerifyServerHostname": config.verify_server_hostname,
    }


def _as_go_ip(text: str) -> bytes:
    """An address in Go's 16 bytes."""
    address = ipaddress.ip_address(text)
    return b"\0" * 10 + b"\xff\xff" + address.packed if address.version == 4 else address.packed


def _servers(config: RuntimeConfig) -> dict[str, Any]:
    limits, multiplier, autopilot = config.limits, config.performance.raft_multiplier, config.autopilot
    return {
        "AutopilotCleanupDeadServers": autopilot.cleanup_dead_servers,
        "AutopilotDisableUpgradeMigration": autopilot.disable_upgrade_migration,
        "AutopilotLastContactThreshold": _time(autopilot.last_contact_threshold_s),
        "AutopilotMaxTrailingLogs": autopilot.max_trailing_logs,
        "AutopilotMinQuorum": autopilot.min_quorum,
        "AutopilotRedundancyZoneTag": autopilot.redundancy_zone_tag,
        "AutopilotServerStabilizationTime": _time(autopilot.server_stabilization_time_s),
        "AutopilotUpgradeVersionTag": autopilot.upgrade_version_tag,
        "Bootstrap": config.bootstrap,
        "BootstrapExpect": config.bootstrap_expect,
        "ConsulCoordinateUpdateBatchSize": 128,
        "ConsulCoordinateUpdateMaxBatches": 5,
        "ConsulCoordinateUpdatePeriod": "5s",
        "ConsulRaftElectionTimeout": _time(multiplier),
        "ConsulRaftHeartbeatTimeout": _time(multiplier),
        "ConsulRaftLeaderLeaseTimeout": _time(multiplier / 2),
        "ConsulServerHealthInterval": "2s",
        "RPCHandshakeTimeout": _time(limits.rpc_handshake_timeout_s),
        "RPCHoldTimeout": _time(config.performance.rpc_hold_timeout_s),
        "RPCMaxBurst": limits.rpc_max_burst,
        "RPCMaxConnsPerClient": limits.rpc_max_conns_per_client,
        "RPCProtocol": config.protocol,
        "RPCRateLimit": int(limits.rpc_rate) if limits.rpc_rate.is_integer() else limits.rpc_rate,
        "RaftProtocol": 0,
        "RaftSnapshotInterval": _time(config.raft_snapshot_interval_s),
        "RaftSnapshotThreshold": config.raft_snapshot_threshold,
        "RaftTrailingLogs": config.raft_trailing_logs,
        "ServerMode": config.server,
    }


def _logging(config: RuntimeConfig) -> dict[str, Any]:
    return {
        "EnableSyslog": config.enable_syslog,
        "LogFilePath": config.log_file,
        "LogJSON": config.log_json,
        "LogLevel": config.log_level,
        "LogRotateBytes": config.log_rotate_bytes,
        "LogRotateDuration": _time(config.log_rotate_duration_s),
        "LogRotateMaxFiles": config.log_rotate_max_files,
        "Name": "",
        "SyslogFacility": config.syslog_facility,
    }


def _telemetry(config: RuntimeConfig) -> dict[str, Any]:
    telemetry = config.telemetry
    return {
        **dict.fromkeys((f"Circonus{name}" for name in _CIRCONUS), ""),
        "CirconusAPIToken": HIDDEN,
        "AllowedPrefixes": [each[1:] for each in telemetry.prefix_filter if each.startswith("+")],
        "BlockedPrefixes": [each[1:] for each in telemetry.prefix_filter if each.startswith("-")],
        "Disable": False,
        "DisableHostname": telemetry.disable_hostname,
        "DogstatsdAddr": telemetry.dogstatsd_addr,
        "DogstatsdTags": list(telemetry.dogstatsd_tags),
        "FilterDefault": telemetry.filter_default,
        "MetricsPrefix": telemetry.metrics_prefix,
        "PrometheusRetentionTime": _time(telemetry.prometheus_retention_time_s),
        "StatsdAddr": telemetry.statsd_address,
        "StatsiteAddr": telemetry.statsite_address,
    }
