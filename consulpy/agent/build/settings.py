"""The settings of the listeners, of checks and of Raft, from the configuration."""

import math
from dataclasses import replace
from typing import Any

from consulpy.checks.agenttls import AgentTls
from consulpy.config.schema import RuntimeConfig
from consulpy.dns.config import DnsConfig, SoaConfig
from consulpy.http.api.write_limits import WriteLimits
from consulpy.http.connection.limits import DEFAULT_LIMITS, ConnectionLimits
from consulpy.http.listener import HttpConfig
from consulpy.raft.interfaces import Settings as RaftSettings


def http(config: RuntimeConfig) -> HttpConfig:
    """The settings of the HTTP listeners."""
    addresses = tuple(config.addresses.http.split()) or config.client_addrs
    return HttpConfig(
        addresses,
        config.ports.http,
        dict(config.http_config.response_headers),
        config.unix_sockets.mode,
        config.unix_sockets.user,
        config.unix_sockets.group,
        config.limits.http_max_conns_per_client,
        config.http_config.block_endpoints,
        config.http_config.allow_write_http_from,
        config.http_config.use_cache,
        tuple(config.addresses.https.split()) or config.client_addrs,
        config.ports.https,
        config.limits.https_handshake_timeout_s,
        config.ui_config.allowed_hosts,
        config.ui,
        config.ui_dir,
        config.ui_content_path,
        http_limits(config),
    )


def http_limits(config: RuntimeConfig) -> ConnectionLimits:
    """Limits of HTTP connections and requests; what is not set has our defaults."""
    given, size = config.http_config, config.limits.http_max_request_body_size_bytes
    changes = {
        "idle_s": given.idle_timeout_s,
        "request_s": None if given.read_timeout_s is None else max(given.read_timeout_s, 0.0),
        "head_s": given.read_header_timeout_s,
        "write_s": given.write_timeout_s if given.write_timeout_s is None or given.write_timeout_s > 0 else math.inf,
        "head_bytes": given.max_header_bytes if given.max_header_bytes > 0 else None,
        "body_bytes": size if size > 0 else None,
    }
    set_ones: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    return replace(DEFAULT_LIMITS, **set_ones)


def writes(config: RuntimeConfig) -> WriteLimits:
    """Limits of writes over HTTP: bytes of a value and of a transaction, operations of a transaction."""
    limits = config.limits
    return WriteLimits(limits.kv_max_value_size_bytes, limits.txn_max_req_len_bytes, limits.txn_max_ops)


def check_tls(config: RuntimeConfig) -> AgentTls | None:
    """Certificates of checks over TLS; None: the system's. Raises `ConfigError`."""
    if not config.enable_agent_tls_for_checks:
        return None
    # as in Consul the name in a server's certificate is never that in the check
    name = config.server_name or config.node_name
    files = config.ca_file, config.ca_path, config.cert_file, config.key_file
    own = AgentTls.read(*files, server_name=name, min_version=config.tls_min_version)
    from consulpy.checks.tls import check  # a costly import

    check(own)
    return own


def dns(config: RuntimeConfig) -> DnsConfig:
    """The settings of the DNS listener."""
    given = config.dns_config
    addresses = tuple(config.addresses.dns.split()) or config.client_addrs
    return DnsConfig(
        datacenter=config.datacenter,
        node_name=config.node_name,
        domain=config.domain,
        alt_domain=config.alt_domain,
        addresses=tuple(address for address in addresses if not address.startswith(("/", "unix://"))),
        port=config.ports.dns,
        translate_wan_addrs=config.translate_wan_addrs,
        recursors=config.recursors,
        recursor_timeout_s=given.recursor_timeout_s,
        random_recursors=given.recursor_strategy == "random",
        node_ttl_s=given.node_ttl_s,
        service_ttl_s=given.service_ttl_s,
        udp_answer_limit=given.udp_answer_limit,
        a_record_limit=given.a_record_limit,
        only_passing=given.only_passing,
        enable_truncate=given.enable_truncate,
        disable_compression=given.disable_compression,
        node_meta_txt=given.enable_additional_node_meta_txt,
        allow_stale=given.allow_stale,
        max_stale_s=given.max_stale_s,
        use_cache=given.use_cache,
        cache_max_age_s=given.cache_max_age_s,
        soa=SoaConfig(given.soa.refresh_s, given.soa.retry_s, given.soa.expire_s, given.soa.min_ttl_s),
    )


def raft(config: RuntimeConfig) -> RaftSettings:
    """Raft's timings and limits as configured; 0: the default. A threshold that is configured is kept to."""
    limits: dict[str, float] = {
        "snapshot_threshold": config.raft_snapshot_threshold,
        "snapshot_interval_s": config.raft_snapshot_interval_s,
        "trailing_logs": config.raft_trailing_logs,
    }
    return RaftSettings.scaled(
        float(config.performance.raft_multiplier),
        snapshot_spares_large_states=not config.raft_snapshot_threshold,
        **{name: value for name, value in limits.items() if value},
    )
