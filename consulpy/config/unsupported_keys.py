"""Keys of Consul that are not supported here.

REFUSED: ignoring it would be less secure, or another cluster, than configured. QUIET: the value has no effect anyway.
IGNORED: harmless, with a warning. Types are validated in all cases. A name that ends in ".*" is a block of arbitrary
names. Source: `consul validate` of Consul 1.8.7; newer keys: its changelog.
"""

from collections.abc import Mapping
from typing import Final

from consulpy.config.key import Kind

#: Key -> the missing feature, for the error. A value that disables the feature is accepted.
REFUSED: Final[dict[str, str]] = {
    "auto_config.enabled": "automatic configuration",
    "non_voting_server": "a server without a vote (Consul Enterprise)",
    "read_replica": "a server without a vote (Consul Enterprise)",
    "segment": "network segments (Consul Enterprise)",
    "segments": "network segments (Consul Enterprise)",
    "partition": "admin partitions (Consul Enterprise)",
}

#: Values of refused keys that disable the feature.
HARMLESS: Final[Mapping[str, tuple[object, ...]]] = {
    **dict.fromkeys(("auto_config.enabled", "non_voting_server", "read_replica"), (False,)),
    "partition": ("", "default"),
    "segment": ("", "<default>"),
    "segments": ([],),
}

_TEXT, _SWITCH, _WHOLE, _NUMBER = Kind.TEXT, Kind.SWITCH, Kind.WHOLE, Kind.NUMBER
_DURATION, _TEXTS = Kind.DURATION, Kind.TEXTS

#: Parsed without effect; with their types (None: any).
IGNORED: Final[Mapping[str, Kind | None]] = {
    "acl.disabled_ttl": _TEXT,
    "acl.msp_disable_bootstrap": _SWITCH,
    "acl.tokens.managed_service_provider": None,
    "acl_enforce_version_8": None,
    **dict.fromkeys(("auto_config.intro_token", "auto_config.intro_token_file"), _TEXT),
    **dict.fromkeys(("auto_config.server_addresses", "auto_config.dns_sans", "auto_config.ip_sans"), _TEXTS),
    "auto_config.authorization.enabled": _SWITCH,
    **{
        f"auto_config.authorization.static.{name}": kind
        for kind, names in (
            (_TEXT, "bound_issuer jwks_ca_cert jwks_url oidc_discovery_ca_cert oidc_discovery_url"),
            (_TEXTS, "bound_audiences claim_assertions jwt_supported_algs jwt_validation_pub_keys"),
            (_DURATION, "clock_skew_leeway expiration_leeway not_before_leeway"),
            (Kind.TEXT_MAP, "claim_mappings list_claim_mappings"),
        )
        for name in names.split()
    },
    "cache.entry_fetch_max_burst": _WHOLE,
    "cache.entry_fetch_rate": _NUMBER,
    "connect.enable_mesh_gateway_wan_federation": _SWITCH,
    "connect.test_ca_leaf_root_change_spread": _DURATION,
    **dict.fromkeys(("disable_anonymous_signature", "disable_update_check"), _SWITCH),
    **dict.fromkeys(("disable_http_unprintable_char_filter",), _SWITCH),
    "dns_config.prefer_namespace": _SWITCH,
    "primary_gateways": _TEXTS,
    "primary_gateways_interval": _DURATION,
    "raft_protocol": _WHOLE,
    **dict.fromkeys(("telemetry.circonus_api_app", "telemetry.circonus_api_token"), _TEXT),
    **dict.fromkeys(("telemetry.circonus_api_url", "telemetry.circonus_broker_id"), _TEXT),
    **dict.fromkeys(("telemetry.circonus_broker_select_tag", "telemetry.circonus_check_display_name"), _TEXT),
    **dict.fromkeys(("telemetry.circonus_check_force_metric_activation", "telemetry.circonus_check_id"), _TEXT),
    **dict.fromkeys(("telemetry.circonus_check_instance_id", "telemetry.circonus_check_search_tag"), _TEXT),
    **dict.fromkeys(("telemetry.circonus_check_tags", "telemetry.circonus_submission_interval"), _TEXT),
    "telemetry.circonus_submission_url": _TEXT,
    "audit.enabled": _SWITCH,
    "audit.sink.*": None,
    **dict.fromkeys(("ports.proxy_min_port", "ports.proxy_max_port"), _WHOLE),
    **dict.fromkeys(("revision", "version", "version_prerelease", "version_metadata", "build_date"), _TEXT),
    **dict.fromkeys(("ae_interval", "check_deregister_interval_min", "sync_coordinate_interval_min"), _DURATION),
    **dict.fromkeys(("check_reap_interval",), _DURATION),
    "sync_coordinate_rate_target": _NUMBER,
    "consul.*": None,
    # of newer versions
    "use_streaming_backend": _SWITCH,  # 1.9
    "rpc.enable_streaming": _SWITCH,
    **dict.fromkeys(("ui_config.metrics_provider", "ui_config.metrics_provider_options_json"), _TEXT),
    "ui_config.metrics_provider_files": _TEXTS,
    **dict.fromkeys(("ui_config.metrics_proxy", "ui_config.dashboard_url_templates")),
    "raft_prevote_disabled": _SWITCH,
    "ports.grpc_tls": _WHOLE,  # 1.14
    "addresses.grpc_tls": _TEXT,
    "peering.enabled": _SWITCH,
    "xds.*": None,
    "license_path": _TEXT,
    "tls.grpc.*": None,
    **dict.fromkeys(("raft_logstore.*", "raft_boltdb.*")),
    **dict.fromkeys(("performance.grpc_keepalive_interval", "performance.grpc_keepalive_timeout"), _DURATION),
    **dict.fromkeys(("enable_xds_load_balancing", "performance.enable_xds_load_balancing"), _SWITCH),
    **dict.fromkeys(("telemetry.enable_host_metrics", "telemetry.retry_failed_connection"), _SWITCH),
    "telemetry.disable_per_tenancy_usage_metrics": _SWITCH,
    "locality.*": None,
    "experiments": _TEXTS,
    "server_rejoin_age_max": _DURATION,
    "reporting.*": None,
    "cloud.*": None,
    "log_sublevels.*": None,
    "disable_kv_key_validation": _SWITCH,
    # of older versions
    "telemetry.disable_compat_1.9": _SWITCH,
    "connect.enable_serverless_plugin": _SWITCH,
}

#: Values that are equal to what this agent does: no warning.
QUIET: Final[Mapping[str, tuple[object, ...] | None]] = {
    **dict.fromkeys(("disable_anonymous_signature", "disable_update_check")),
    **dict.fromkeys(("acl_enforce_version_8", "use_streaming_backend", "rpc.enable_streaming")),
    **dict.fromkeys(("revision", "version", "version_prerelease", "version_metadata", "build_date")),
    **dict.fromkeys(("telemetry.disable_compat_1.9", "telemetry.disable_per_tenancy_usage_metrics")),
    **dict.fromkeys(("connect.enable_mesh_gateway_wan_federation", "connect.enable_serverless_plugin"), (False,)),
    **dict.fromkeys(("peering.enabled", "audit.enabled"), (False,)),
    **dict.fromkeys(("enable_xds_load_balancing", "performance.enable_xds_load_balancing"), (False,)),
    "telemetry.enable_host_metrics": (False,),
    "telemetry.retry_failed_connection": (True,),
    "raft_protocol": (3,),
    "disable_kv_key_validation": (True,),
    "raft_prevote_disabled": (True,),
    **dict.fromkeys(("ports.grpc", "ports.grpc_tls"), (-1, 0)),
}

#: Warnings of blocks, given once, instead of "not supported yet and has no effect".
REASONS: Final[Mapping[str, str]] = {
    "auto_config": "automatic configuration is not supported: the agent goes on without",
    "peering": "cluster peering is not supported: the agent goes on without",
    "tls.grpc": "there is no gRPC listener here, so nothing to secure",
    "xds": "there is no xDS server here, so nothing to tune",
}

#: Other spellings of a key: the one in `schema` is on the right.
SAME: Final[dict[str, str]] = {
    "service": "services",
    "check": "checks",
    "ui_config.dir": "ui_dir",
    "ui_config.content_path": "ui_content_path",
    "ui_config.enabled": "ui",
    # since 1.11
    "acl.tokens.initial_management": "acl.tokens.master",
    "acl.tokens.agent_recovery": "acl.tokens.agent_master",
    "recursor_strategy": "dns_config.recursor_strategy",
    # before 1.4
    "acl_agent_master_token": "acl.tokens.agent_master",
    "acl_agent_token": "acl.tokens.agent",
    "acl_default_policy": "acl.default_policy",
    "acl_down_policy": "acl.down_policy",
    "acl_enable_key_list_policy": "acl.enable_key_list_policy",
    "acl_master_token": "acl.tokens.master",
    "acl_replication_token": "acl.tokens.replication",
    "acl_token": "acl.tokens.default",
    "acl_ttl": "acl.token_ttl",
    "enable_acl_replication": "acl.enable_token_replication",
}
