"""Keys that Consul 1.8 knows and this program does not act on yet, so that real files are read without false alarms.

REFUSED ones would leave the user less safe, or with a different cluster, than the file says; the others do no harm.
A name that ends in ".*" stands for a whole block.
"""

from typing import Final

#: Key -> what is missing, as the error tells it. A value that switches the thing off is accepted.
REFUSED: Final[dict[str, str]] = {
    "acl.enabled": "access control lists",
    "acl.default_policy": "access control lists",
    "acl_datacenter": "access control lists",
    "acl_default_policy": "access control lists",
    "acl_master_token": "access control lists",
    "auto_encrypt.tls": "certificates from the servers",
    "auto_encrypt.allow_tls": "certificates for the clients",
    "auto_config.enabled": "automatic configuration",
    "connect.enabled": "Connect",
    "non_voting_server": "a server without a vote (Consul Enterprise)",
    "segment": "network segments (Consul Enterprise)",
    "segments": "network segments (Consul Enterprise)",
}

#: Values of refused keys that ask for nothing.
HARMLESS: Final[tuple[object, ...]] = (False, "", "allow", None, [], {}, 0)

#: Known, read, without effect.
IGNORED: Final = frozenset(
    {
        "acl.*",
        "acl_agent_master_token",
        "acl_agent_token",
        "acl_down_policy",
        "acl_enforce_version_8",
        "acl_enable_key_list_policy",
        "acl_replication_token",
        "acl_token",
        "acl_ttl",
        "auto_config.*",
        "auto_encrypt.*",
        "autopilot.*",
        "cache.*",
        "config_entries.*",
        "connect.*",
        "disable_anonymous_signature",
        "disable_http_unprintable_char_filter",
        "disable_update_check",
        "enable_acl_replication",
        "enable_central_service_config",
        "primary_gateways",
        "primary_gateways_interval",
        "raft_protocol",
        "raft_snapshot_interval",
        "raft_snapshot_threshold",
        "raft_trailing_logs",
        "rpc.*",
        "session_ttl_min",
        "syslog_facility",
        "tagged_addresses",
        "telemetry.*",
        "ui",
        "ui_config.*",
        "ui_content_path",
        "ui_dir",
        "audit.*",
        "dns_config.prefer_namespace",
        "gossip_lan.*",
        "gossip_wan.*",
        "ports.proxy_min_port",
        "ports.proxy_max_port",
    }
)

#: Other spellings of a key: the one in `schema` is on the right.
SAME: Final[dict[str, str]] = {"service": "services", "check": "checks"}

#: What a definition of a service may say.
SERVICE: Final = frozenset(
    {
        "id",
        "name",
        "tags",
        "address",
        "tagged_addresses",
        "meta",
        "port",
        "check",
        "checks",
        "token",
        "weights",
        "enable_tag_override",
        "proxy",
        "connect",
        "kind",
        "namespace",
    }
)
#: What a definition of a check may say.
CHECK: Final = frozenset(
    {
        "id",
        "name",
        "notes",
        "service_id",
        "token",
        "status",
        "args",
        "script",
        "http",
        "header",
        "method",
        "body",
        "tcp",
        "interval",
        "docker_container_id",
        "shell",
        "grpc",
        "grpc_use_tls",
        "tls_server_name",
        "tls_skip_verify",
        "alias_node",
        "alias_service",
        "timeout",
        "ttl",
        "success_before_passing",
        "failures_before_critical",
        "deregister_critical_service_after",
        "output_max_size",
        "check_id",
        "namespace",
    }
)
#: Older spellings in definitions, as Consul translates them.
DEFINITION_SAME: Final[dict[str, str]] = {
    "deregistercriticalserviceafter": "deregister_critical_service_after",
    "dockercontainerid": "docker_container_id",
    "enabletagoverride": "enable_tag_override",
    "scriptargs": "args",
    "serviceid": "service_id",
    "tlsskipverify": "tls_skip_verify",
    "taggedaddresses": "tagged_addresses",
    "aliasnode": "alias_node",
    "aliasservice": "alias_service",
    "checkid": "check_id",
    "grpcusetls": "grpc_use_tls",
    "outputmaxsize": "output_max_size",
}
