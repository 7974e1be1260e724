"""Validation of a configuration; the first fault is an error of one line with the key and its flag.

Texts are those of Consul 1.8.7 where it has one. Checks of the host (bind addresses, data directory) are in
`check_host`, which `consulpy validate` leaves out.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable
from typing import Any, Final

from consulpy.config.derive import spelling
from consulpy.config.disk import check_data_dir
from consulpy.config.host import Host
from consulpy.config.recursors import is_recursor
from consulpy.config.schema import KEYS, RuntimeConfig
from consulpy.config.tls import tls_settings
from consulpy.errors import ConfigError
from consulpy.gocompat.base64_decode import decode_base64
from consulpy.gocompat.literals import quoted
from consulpy.structs.metadata import metadata_error

LOG_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERR", "ERROR")
#: A node's name goes into every gossip packet; docs/wire/gossip.md 3.
LONGEST_NAME_BYTES: Final = 128
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


def validate(config: RuntimeConfig) -> None:
    """Raises `ConfigError` for the first fault."""
    for check in _CHECKS:
        check(config)


def check_host(config: RuntimeConfig, host: Host) -> None:
    """Check bind addresses and data directory on this host. Raises `ConfigError`."""
    check_data_dir(config.data_dir)
    for path, address in (
        ("bind_addr", config.bind_addr),
        ("serf_lan", config.serf_lan_bind),
        ("serf_wan", config.serf_wan_bind if config.server else ""),
        *(("client_addr", address) for address in config.client_addrs),
    ):
        if address and not host.owns(address):
            has = ", ".join(str(one.address) for one in host.addresses() or () if one.up)
            raise ConfigError(f"{spelling(path)}: this host does not have the address {address}; it has: {has}")


def _check_identity(config: RuntimeConfig) -> None:
    if not config.datacenter:
        raise ConfigError("datacenter cannot be empty")
    for path, datacenter in (
        ("datacenter", config.datacenter),
        ("acl_datacenter" if config.acl_datacenter else "primary_datacenter", config.primary_datacenter),
    ):
        if not re.fullmatch(r"[a-z0-9_-]+", datacenter):
            raise ConfigError(f'{path} cannot be "{datacenter}". Please use only [a-z0-9-_]')
    name = config.node_name
    if not name or not name.isprintable() or "/" in name:
        raise ConfigError(f"{spelling('node_name')}: expected printable characters without a slash, not {name!r}")
    if len(name.encode()) > LONGEST_NAME_BYTES:
        raise ConfigError(
            f"{spelling('node_name')}: expected at most {LONGEST_NAME_BYTES} bytes, not {len(name.encode())}"
        )
    if config.node_id and not is_node_id(config.node_id):
        raise ConfigError(
            f"{spelling('node_id')}: expected a UUID as 1d3ec7cc-6c9c-4f40-a1f4-2d8e4d0a6b3e, not {config.node_id!r}"
        )


def is_node_id(text: str) -> bool:
    """Whether it is a UUID in its usual form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _check_meta(config: RuntimeConfig) -> None:
    fault = metadata_error(config.node_meta)
    if fault:
        raise ConfigError(f"node_meta invalid: {fault}")


def _check_acl(config: RuntimeConfig) -> None:
    acl = config.acl
    if acl.default_policy not in ("allow", "deny"):
        raise ConfigError(f"acl.default_policy: expected allow or deny, not {acl.default_policy!r}")
    policies = ("allow", "deny", "extend-cache", "async-cache")
    if acl.down_policy not in policies:
        raise ConfigError(f"acl.down_policy: expected one of {', '.join(policies)}, not {acl.down_policy!r}")


def _check_servers(config: RuntimeConfig) -> None:
    if config.bootstrap_expect < 0:
        raise ConfigError(
            f"bootstrap_expect cannot be {config.bootstrap_expect}. Must be greater than or equal to zero"
        )
    if config.bootstrap and not config.server:
        raise ConfigError("'bootstrap = true' requires 'server = true'")
    if config.bootstrap_expect and not config.server:
        raise ConfigError("'bootstrap_expect > 0' requires 'server = true'")
    if config.bootstrap and config.bootstrap_expect:
        raise ConfigError("'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive")
    if config.server and config.advertise_reconnect_timeout_s:
        raise ConfigError("advertise_reconnect_timeout can only be used on a client")
    if config.dev_mode and config.bootstrap_expect:
        raise ConfigError("'bootstrap_expect' not allowed in dev mode")
    if not 1 <= config.performance.raft_multiplier <= _RAFT_MULTIPLIER_MAX:
        raise ConfigError(
            f"performance.raft_multiplier cannot be {config.performance.raft_multiplier}. "
            f"Must be between 1 and {_RAFT_MULTIPLIER_MAX}"
        )
    if config.autopilot.max_trailing_logs < 0:
        raise ConfigError(
            f"autopilot.max_trailing_logs cannot be {config.autopilot.max_trailing_logs}. Must be greater than or "
            "equal to zero"
        )
    if config.protocol not in (2, 3):
        raise ConfigError(f"{spelling('protocol')}: expected 2 or 3, not {config.protocol}")


def _check_addresses(config: RuntimeConfig) -> None:
    if any(address in ("0.0.0.0", "::") for address in (config.advertise_addr,)):
        raise ConfigError("Advertise address cannot be 0.0.0.0, :: or [::] (advertise_addr)")
    if config.advertise_addr_wan in ("0.0.0.0", "::"):
        raise ConfigError("Advertise WAN address cannot be 0.0.0.0, :: or [::] (advertise_addr_wan)")
    for path, networks in (
        ("serf_lan_allowed_cidrs", config.serf_lan_allowed_cidrs),
        ("serf_wan_allowed_cidrs", config.serf_wan_allowed_cidrs),
        ("http_config.allow_write_http_from", config.http_config.allow_write_http_from),
    ):
        for network in networks:
            try:
                if "/" not in network:
                    raise ValueError("a single address is no network")
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise ConfigError(f"{spelling(path)}: expected a network such as 10.0.0.0/8, not {network!r}") from None
    if config.dns_config.recursor_strategy not in ("", "sequential", "random"):
        raise ConfigError(
            f"dns_config.recursor_strategy: expected sequential or random, not {config.dns_config.recursor_strategy!r}"
        )
    if config.default_intention_policy not in ("", "allow", "deny"):
        raise ConfigError(f"default_intention_policy: expected allow or deny, not {config.default_intention_policy!r}")
    mode = config.limits.request_limits.mode
    if mode not in ("", "disabled", "permissive", "enforcing"):
        raise ConfigError(f"limits.request_limits.mode: invalid mode: {quoted(mode)}")
    for recursor in config.recursors:
        if not is_recursor(recursor):
            raise ConfigError(
                f"{spelling('recursors')}: expected an IP address or a host name, perhaps with a port, not {recursor!r}"
            )


def _check_sockets(config: RuntimeConfig) -> None:
    unix = ("unix://", "/")
    if any(address.startswith(unix) for address in config.client_addrs):
        raise ConfigError("client_addr cannot be a unix socket; addresses.http can")
    if any(address.startswith(unix) for address in config.addresses.dns.split()):
        raise ConfigError("addresses.dns: DNS address cannot be a unix socket")
    mode = config.unix_sockets.mode
    if (
        any(address.startswith(unix) for address in config.addresses.http.split())
        and mode
        and not re.fullmatch("[0-7]+", mode)
    ):
        raise ConfigError(f"unix_sockets.mode: expected octal digits such as 0660, not {mode!r}")


def _check_ui(config: RuntimeConfig) -> None:
    path = config.ui_content_path
    if not re.fullmatch("[A-Za-z0-9/_-]+", path):
        raise ConfigError(f"ui-content-path can only contain alphanumeric, -, _, or /. received: {path}")
    if re.match(r"/v[0-9]+/", path):
        raise ConfigError(f"ui-content-path cannot have 'v[0-9]'. received: {path}")
    if path == "//":  # the real one redirects / to itself
        raise ConfigError("ui-content-path cannot be /")
    if config.ui and config.ui_dir and not config.dev_mode:  # -dev has ui on
        raise ConfigError(
            "Both the ui and ui-dir flags were specified, please provide only one.\n"
            "If trying to use your own web UI resources, use the ui-dir flag.\n"
            "The web UI is included in the binary so use ui to enable it"
        )


def _check_ports(config: RuntimeConfig) -> None:
    ports = config.ports
    numbers = ("dns", "http", "https", "grpc", "serf_lan", "serf_wan", "server")
    for name in (*numbers, "sidecar_min_port", "sidecar_max_port", "expose_min_port", "expose_max_port"):
        port = getattr(ports, name)
        if port > 65535:
            raise ConfigError(f"{spelling(f'ports.{name}')}: invalid port: {port}; expected 1 to 65535, or -1 for none")
    for least, most, shown in (
        (ports.sidecar_min_port, ports.sidecar_max_port, "sidecar"),
        (ports.expose_min_port, ports.expose_max_port, "expose"),
    ):
        if least > most:
            raise ConfigError(
                f"{shown}_min_port must be less than {shown}_max_port. To disable, set both to zero. "
                f"(ports.{shown}_min_port, ports.{shown}_max_port)"
            )
    if ports.serf_lan < 1:
        raise ConfigError(f"{spelling('ports.serf_lan')}: expected 1 to 65535: an agent cannot do without gossip")
    if config.server and ports.server < 1:
        raise ConfigError(f"{spelling('ports.server')}: expected 1 to 65535: a server needs it")
    used: dict[tuple[str, int], tuple[str, str]] = {}
    clients = [*config.client_addrs]
    for name, shown in (("dns", "DNS"), ("http", "HTTP"), ("https", "HTTPS")):
        addresses = getattr(config.addresses, name).split() or clients
        for address in addresses:
            _claim(used, address, getattr(ports, name), shown, name)
    _claim(used, config.serf_lan_bind, ports.serf_lan, "Serf Advertise LAN", "serf_lan")
    if config.server:
        _claim(used, config.serf_wan_bind, ports.serf_wan, "Serf Advertise WAN", "serf_wan")
        _claim(used, config.bind_addr, ports.server, "RPC Advertise", "server")


def _claim(used: dict[tuple[str, int], tuple[str, str]], address: str, port: int, what: str, name: str) -> None:
    """Raise `ConfigError` for the second use of an address and port. `name`: of the port."""
    if port <= 0 or address.startswith(("unix://", "/")):
        return
    other, other_name = used.setdefault((address, port), (what, name))
    if other != what:
        raise ConfigError(
            f"{what} address {address}:{port} already configured for {other} (ports.{name}, ports.{other_name})"
        )


def _check_domain(config: RuntimeConfig) -> None:
    for path, domain in (("domain", config.domain), ("alt_domain", config.alt_domain)):
        labels = domain.rstrip(".").split(".")
        if domain and not all(_LABEL.fullmatch(label) for label in labels):
            raise ConfigError(f"{spelling(path)}: expected a DNS name such as consul or example.com, not {domain!r}")


def _check_encryption(config: RuntimeConfig) -> None:
    if not config.encrypt:
        return
    try:
        key = decode_base64(config.encrypt)
    except ValueError:
        raise ConfigError(
            f"encrypt has invalid key: {spelling('encrypt')}: expected base64, as consulpy keygen prints it"
        ) from None
    if len(key) not in (16, 24, 32):
        raise ConfigError(
            f"encrypt has invalid key: {spelling('encrypt')}: key size must be 16, 24 or 32 bytes, not {len(key)}; "
            "consulpy keygen makes one"
        )


def _check_tls(config: RuntimeConfig) -> None:
    tls_settings(config).check()
    auto = config.auto_encrypt
    if auto.tls and config.server:
        raise ConfigError("auto_encrypt.tls can only be used on a client.")
    if auto.allow_tls and not config.server:
        raise ConfigError("auto_encrypt.allow_tls can only be used on a server.")
    for text in auto.ip_san:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise ConfigError(f"auto_encrypt.ip_san: expected an IP address, not {text!r}") from None


def _check_connect(config: RuntimeConfig) -> None:
    connect = config.connect
    if connect.ca_provider not in ("", "consul", "vault", "aws-pca"):
        raise ConfigError(f"connect.ca_provider: {connect.ca_provider} is not a valid CA provider")
    if connect.ca_provider not in ("", "consul") and connect.enabled:
        raise ConfigError(f"connect.ca_provider: {connect.ca_provider} is not supported here, only consul")
    cluster_id = connect.ca_config.get("cluster_id")
    if cluster_id is not None and connect.enabled and not (isinstance(cluster_id, str) and is_node_id(cluster_id)):
        raise ConfigError("cluster_id was supplied but was not a valid UUID (connect.ca_config)")


def _check_telemetry(config: RuntimeConfig) -> None:
    addresses = {
        name: value
        for name in ("statsd_address", "statsite_address", "dogstatsd_addr")
        if (value := getattr(config.telemetry, name))
    }
    if not addresses:
        return
    from consulpy.metrics.net import host_and_port  # imports Twisted

    for name, value in addresses.items():
        try:
            host_and_port(value)
        except ConfigError:
            raise ConfigError(
                f"telemetry.{name}: expected a host and a port such as 127.0.0.1:8125, not {value!r}"
            ) from None


def _check_logging(config: RuntimeConfig) -> None:
    if config.log_level.upper() not in LOG_LEVELS:
        levels = " ".join(LOG_LEVELS)
        raise ConfigError(f"Invalid log level: {config.log_level}. Valid log levels are: [{levels}] (log_level)")


def _check_numbers(config: RuntimeConfig) -> None:
    for names, key in KEYS.values():
        value: Any = config
        for name in names:
            value = getattr(value, name)
        least = _LEAST.get(key.path)
        if key.path in ("http_config.read_timeout", "http_config.write_timeout"):
            least = 1 if value is not None and value > 0 else None  # others: no limit
        elif least is None and key.path.endswith(("interval", "timeout", "_time", "_ttl", "_stale", "max_age")):
            least = 0
        if key.path == "performance.raft_multiplier" and not 1 <= value <= 10:
            raise ConfigError(f"{key.path} cannot be {value}. Must be between 1 and 10")
        if least is not None and isinstance(value, int | float) and value < least:
            raise ConfigError(f"{spelling(key.path)}: expected at least {least}, not {value:g}")


_LEAST: Final[dict[str, float]] = {
    "retry_interval": 0.001,
    "retry_interval_wan": 0.001,
    "performance.leave_drain_time": 0,
    "check_output_max_size": 1,
    "dns_config.a_record_limit": 0,
    "dns_config.udp_answer_limit": 0,
    "gossip_lan.probe_interval": 0.001,
    "gossip_lan.gossip_interval": 0.001,
    "gossip_lan.probe_timeout": 0.001,
    "gossip_lan.suspicion_mult": 1,
    "gossip_lan.retransmit_mult": 1,
    "gossip_lan.gossip_nodes": 1,
    "gossip_wan.probe_interval": 0.001,
    "gossip_wan.gossip_interval": 0.001,
    "gossip_wan.probe_timeout": 0.001,
    "gossip_wan.suspicion_mult": 1,
    "gossip_wan.retransmit_mult": 1,
    "gossip_wan.gossip_nodes": 1,
    **dict.fromkeys((f"dns_config.soa.{name}" for name in ("refresh", "retry", "expire", "min_ttl")), 0),
    "limits.rpc_max_burst": 0,
    "http_config.read_header_timeout": 1,
    "http_config.idle_timeout": 10,
    "limits.http_max_request_body_size": 0,
    "limits.kv_max_value_size": 0,
    "limits.txn_max_req_len": 0,
    "limits.txn_max_ops": 0,
    "autopilot.min_quorum": 0,
    "autopilot.last_contact_threshold": 0,
}


def _check_definitions(config: RuntimeConfig) -> None:
    """Faults of all services and checks together: scripts that are disabled, checks of unknown services."""
    if not config.services and not config.checks:
        return
    from consulpy.config.definitions import Definition

    ids = {one.get("ID") or one["Name"] for one in config.services}
    sidecars = (one for one in config.services if "SidecarService" in one.get("Connect", {}))
    ids |= {f"{one.get('ID') or one['Name']}-sidecar-proxy" for one in sidecars}
    scripts = config.enable_local_script_checks
    definitions = [one for one in (*config.services, *config.checks) if isinstance(one, Definition)]
    for one in definitions:
        inner = one.get("Connect", {}).get("SidecarService", {})
        checks = [one, *(check for each in (one, inner) for check in (each.get("Check"), *each.get("Checks", ())))]
        if not scripts and any(check and check.get("ScriptArgs") for check in checks):
            raise one.place.fault(
                "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or "
                "'enable_local_script_checks' to true"
            )
    for one in definitions:
        if one.get("ServiceID") and one["ServiceID"] not in ids:
            raise one.place.fault(f'ServiceID "{one["ServiceID"]}" does not exist')


def _check_data(config: RuntimeConfig) -> None:
    if config.data_dir is None and not config.in_memory:
        raise ConfigError("data_dir cannot be empty: say with -data-dir where to keep the agent's state, or use -dev")
    if config.data_dir is not None and not config.data_dir.strip():
        raise ConfigError("data_dir cannot be empty: say with -data-dir where to keep the agent's state, or use -dev")


#: Longest Raft timings, as a multiple of the shortest.
_RAFT_MULTIPLIER_MAX: Final = 10
_CHECKS: Final[tuple[Callable[[RuntimeConfig], None], ...]] = (
    _check_data,
    _check_identity,
    _check_meta,
    _check_acl,
    _check_servers,
    _check_addresses,
    _check_sockets,
    _check_ui,
    _check_ports,
    _check_domain,
    _check_encryption,
    _check_tls,
    _check_connect,
    _check_telemetry,
    _check_logging,
    _check_numbers,
    _check_definitions,
)
