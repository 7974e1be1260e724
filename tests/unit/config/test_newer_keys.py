"""Keys without effect: what asks for nothing is quiet, what leaves nobody less safe is warned of, the rest refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from consulpy.config.flags import read_flags
from consulpy.config.load import read
from consulpy.config.schema import RuntimeConfig
from consulpy.config.tls import tls_settings
from consulpy.errors import ConfigError
from consulpy.tls.authority import create_authority, create_certificate
from consulpy.tls.contexts import Tls
from consulpy.tls.settings import TlsSettings
from tests.fakes.config import FakeHost

OF_FILES = "config_file_service_registration"
CHACHA = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"


def hcl(text: str) -> RuntimeConfig:
    return read(read_flags(["-data-dir", "/x", "-hcl", text]), FakeHost())


@pytest.mark.parametrize(
    "text",
    [
        "disable_update_check = true",
        "connect { enabled = false }",
        "connect { enabled = true }",
        'connect {\n enabled = true\n ca_provider = "consul"\n ca_config { leaf_cert_ttl = "72h" } }',
        "use_streaming_backend = true",
        "rpc { enable_streaming = true }",
        "ports { grpc_tls = -1 }",
        "ports { grpc = -1 }",
        "ports { grpc = 0 }",
        "ports { expose_min_port = 21500 }",
        "peering { enabled = false }",
        'limits { request_limits { mode = "disabled" read_rate = -1 write_rate = -1 } }',
        'limits { request_limits { mode = "permissive" read_rate = 5 } }',
        'default_intention_policy = "deny"',
        'config_entries { bootstrap { Kind = "mesh" TransparentProxy { MeshDestinationsOnly = false } } }',
        'config_entries { bootstrap { kind = "service-intentions" name = "a" sources { name = "b" action = "deny" }}}',
        'limits { request_limits { mode = "enforcing" read_rate = 500.0 write_rate = 200 } }',
        'partition = "default"',
        "read_replica = false",
        "segments = []",
        "raft_protocol = 3",
        'license_path = ""',
        "experiments = []",
        "telemetry { disable_compat_1.9 = true }",
        'acl { tokens { default = "" } }',
        "ui_config { enabled = false }",
        'ui_config { enabled = true content_path = "/x/" }',
        "use_streaming_backend = false",
        "rpc { enable_streaming = false }",
        "telemetry { disable_per_tenancy_usage_metrics = true retry_failed_connection = true }",
        "telemetry { enable_host_metrics = false }",
        "audit { enabled = false }",
        'version_metadata = "" build_date = "2026-01-01"',
        'segment = ""',
        'segment = "<default>"',
        "performance { enable_xds_load_balancing = false }",
        "http_config { use_cache = true }",
        'acl { tokens { initial_management = "a" agent_recovery = "b" dns = "c" replication = "d" } }',
        'acl { tokens { config_file_service_registration = "a" } }',
        'advertise_reconnect_timeout = "15m"',
        'limits { rpc_client_timeout = "30s" }',
        'dns_config { recursor_strategy = "sequential" }',
        'dns_config { recursor_strategy = "random" }',
        "tls { https { verify_outgoing = true } }",
    ],
)
def test_what_asks_for_nothing_is_quiet(text: str) -> None:
    assert hcl(text).warnings == ()


#: What Consul's Go test kit (sdk/testutil 1.14) writes, with the names of its public structs.
TEST_KIT = {
    "node_name": "node-11111111-2222-3333-4444-555555555501",
    "node_id": "11111111-2222-3333-4444-555555555501",
    "performance": {"raft_multiplier": 1},
    "bootstrap": True,
    "server": True,
    "data_dir": "/x",
    "segments": None,
    "disable_update_check": True,
    "log_level": "debug",
    "bind_addr": "127.0.0.1",
    "addresses": {},
    "ports": {
        "dns": 20001,
        "http": 20002,
        "https": 20003,
        "serf_lan": 20004,
        "serf_wan": 20005,
        "server": 20006,
        "grpc": 20007,
        "grpc_tls": 20008,
    },
    "acl": {"tokens": {}},
    "connect": {"ca_config": {"cluster_id": "11111111-2222-3333-4444-555555555555"}, "enabled": True},
    "skip_leave_on_interrupt": True,
    "peering": {"enabled": True},
}


def test_the_configuration_of_the_go_test_kit_is_taken(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TEST_KIT))
    config = read(read_flags(["-config-file", str(tmp_path / "config.json")]), FakeHost())
    said = [line.rpartition("config.json:1: ")[2].partition(" ")[0] for line in config.warnings]
    assert sorted(said) == ["bootstrap", "cluster", "ports.grpc", "ports.grpc_tls", "ports.https:"]


def test_https_without_a_certificate_is_open_and_closes_connections_as_in_consul() -> None:
    config = hcl("ports { https = 8501 }")
    assert [line for line in config.warnings if "HTTPS needs cert_file and key_file" in line]
    assert Tls(tls_settings(config)).incoming_https is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("peering { enabled = true }", "1: cluster peering is not supported"),
        ("ports { grpc_tls = 8503 }", "ports.grpc_tls is not supported yet and has no effect"),
        ('license_path = "/x"', "license_path is not supported yet"),
        ('raft_logstore { backend = "wal" wal { segment_size_mb = 64 } }', "raft_logstore is not supported yet"),
        ("xds { update_max_per_second = 250 }", "there is no xDS server"),
        ('locality { region = "x" }', "locality is not supported yet"),
        ("reporting { license { enabled = true } }", "reporting is not supported yet"),
        ('performance { grpc_keepalive_timeout = "20s" }', "performance.grpc_keepalive_timeout is not"),
        ('tls { grpc { ca_file = "x" } }', "there is no gRPC listener"),
        ("raft_protocol = 2", "raft_protocol is not supported yet"),
        ("raft_boltdb { NoFreelistSync = true }", "raft_boltdb is not supported yet"),
        ("enable_xds_load_balancing = true", "enable_xds_load_balancing is not"),
        ("performance { enable_xds_load_balancing = true }", "performance.enable_xds_load_balancing is not"),
        ("telemetry { enable_host_metrics = true }", "telemetry.enable_host_metrics is not"),
        ("telemetry { retry_failed_connection = false }", "telemetry.retry_failed_connection is not"),
        ("tls { grpc { use_auto_cert = true } }", "there is no gRPC listener"),
        ('experiments = ["v1dns"]', "experiments is not"),
        ('server_rejoin_age_max = "168h"', "server_rejoin_age_max is not"),
        ('cloud { resource_id = "x" }', "cloud is not"),
        ('log_sublevels { x = "DEBUG" }', "log_sublevels is not"),
        ('addresses { grpc_tls = "127.0.0.1" }', "addresses.grpc_tls is not"),
        ("connect { enable_serverless_plugin = true }", "connect.enable_serverless_plugin is not"),
        ("disable_kv_key_validation = false", "disable_kv_key_validation is not"),
        ("audit { enabled = true }", "audit.enabled is not"),
    ],
)
def test_what_leaves_nobody_less_safe_is_one_warning(text: str, why: str) -> None:
    (line,) = hcl(text).warnings
    assert line.startswith("-hcl 1:")
    assert why in line


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('partition = "team"', "admin partitions"),
        ("read_replica = true", "a server without a vote"),
        ('segment = "alpha"', "network segments"),
        (
            'server = true advertise_reconnect_timeout = "15m"',
            "can only be used on a client",
        ),
        ('advertise_reconnect_timeout = "-1s"', "expected at least 0"),
        ('limits { rpc_client_timeout = "-1s" }', "expected at least 0"),
        ('http_config { read_timeout = "10ms" }', "http_config.read_timeout: expected at least 1"),
        ('http_config { write_timeout = "10ms" }', "http_config.write_timeout: expected at least 1"),
        ('http_config { read_header_timeout = "0s" }', "http_config.read_header_timeout: expected at least 1"),
        ('http_config { idle_timeout = "1s" }', "http_config.idle_timeout: expected at least 10"),
        ("limits { http_max_request_body_size = -1 }", "expected at least 0"),
        ('dns_config { recursor_strategy = "fastest" }', "expected sequential or random, not 'fastest'"),
        ('tls { defaults { tls_min_version = "TLSv2" } }', "-hcl 1:1: TLSMinVersion: value TLSv2 not supported"),
        ("tls { internal_rpc { verify_incoming = true } }", "VerifyIncoming set but no CA certificates"),
        ("tls { defaults { verify_incoming = true } }", "VerifyIncoming set but no CA certificates"),
        (
            'tls { https {\n tls_cipher_suites = "TLS_RSA_X" } } ports { https = 8501 }',
            "1:2: tls_cipher_suites: invalid",
        ),
        ("tls { internal_rpc { verify_server_hostname = true } }", "VerifyOutgoing set, and no CA certificate"),
        ("tls { https { verify_server_hostname = true } }", "invalid config key tls.https.verify_server_hostname"),
        ('default_intention_policy = "maybe"', "expected allow or deny, not 'maybe'"),
        (
            'config_entries { bootstrap { kind = "mesh" transparent_proxy { mesh_destinations_only = true } } }',
            "MeshDestinationsOnly",
        ),
        (
            'config_entries { bootstrap { kind = "service-intentions" name = "a" sources { name = "b" } } }',
            "Action must be set to",
        ),
        ('limits { request_limits { mode = "sometimes" } }', "limits.request_limits.mode: invalid mode"),
        ("auto_config { enabled = true }", "automatic configuration"),
        ("auto_encrypt { allow_tls = true }", "auto_encrypt.allow_tls can only be used on a server."),
        ("server = true auto_encrypt { tls = true }", "auto_encrypt.tls can only be used on a client."),
        ('auto_encrypt { ip_san = ["x"] }', "auto_encrypt.ip_san: expected an IP address, not 'x'"),
        ('connect { enabled = true ca_provider = "vault" }', "vault is not supported here, only consul"),
        (
            'connect { enabled = true ca_config { cluster_id = "x" } }',
            "cluster_id was supplied but was not a valid UUID",
        ),
        ("\nconnect { foo = 1 }", "1:2: invalid config key connect.foo"),
        ("connect { proxy { x = 1 } }", "invalid config key connect.proxy"),
        ("autopilot { foo = 1 }", "invalid config key autopilot.foo"),
        ("gossip_lan { foo = 1 }", "invalid config key gossip_lan.foo"),
        ("telemetry { foo = 1 }", "invalid config key telemetry.foo"),
        ("acl { tokens { foo = 1 } }", "invalid config key acl.tokens.foo"),
        ('connect { enabled = "yes" }', "connect.enabled: expected true or false, not 'yes'"),
        ("connect = true", "connect: expected a block"),
        ("connect { ca_config = 1 }", "connect.ca_config: expected a block"),
        ("autopilot { last_contact_threshold = 5 }", "expected a duration"),
        ('tls { defaults { ca = "x" } }', "invalid config key tls.defaults.ca; did you mean tls.defaults.ca_path"),
    ],
)
def test_the_rest_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        hcl(text)


@pytest.mark.parametrize(
    ("text", "names", "value"),
    [
        ('dns_config { recursor_strategy = "random" }', "dns_config.recursor_strategy", "random"),
        ('recursor_strategy = "random"', "dns_config.recursor_strategy", "random"),
        ('limits { rpc_client_timeout = "90s" }', "limits.rpc_client_timeout_s", 90.0),
        ("", "limits.rpc_client_timeout_s", 60.0),
        ('advertise_reconnect_timeout = "15m"', "advertise_reconnect_timeout_s", 900.0),
        ('acl { tokens { initial_management = "a" } }', "acl.tokens.master", "a"),
        ('acl { tokens { agent_recovery = "a" } }', "acl.tokens.agent_master", "a"),
        ('acl { tokens { dns = "a" } }', "acl.tokens.dns", "a"),
        (f'acl {{ tokens {{ {OF_FILES} = "a" }} }}', f"acl.tokens.{OF_FILES}", "a"),
        ('http_config { read_timeout = "15m" }', "http_config.read_timeout_s", 900.0),
        ('http_config { read_timeout = "0s" write_timeout = "-1s" }', "http_config.write_timeout_s", -1.0),
        ('http_config { read_header_timeout = "10s" }', "http_config.read_header_timeout_s", 10.0),
        ('http_config { idle_timeout = "300s" }', "http_config.idle_timeout_s", 300.0),
        ("http_config { max_header_bytes = 100 }", "http_config.max_header_bytes", 100),
        ("limits { http_max_request_body_size = 1000 }", "limits.http_max_request_body_size_bytes", 1000),
        ("auto_reload_config = true", "auto_reload_config", True),
        ("ui_config { enabled = true }", "ui", True),
        ('ui_config { enabled = true content_path = "x" }', "ui_content_path", "/x/"),
        ('ui_config { dir = "/x" }', "ui_dir", "/x"),
        ('tls_min_version = "TLSv1_3"', "tls_min_version", "tls13"),
        ('tls { defaults { tls_min_version = "tls13" } }', "tls_min_version", "tls13"),
        (f'tls_cipher_suites = "{CHACHA}"', "tls_cipher_suites", CHACHA),
    ],
)
def test_what_is_honoured(text: str, names: str, value: object) -> None:
    found: Any = hcl(text)
    for name in names.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("flags", "warnings"),
    [
        (["-auto-reload-config"], 0),
        (["-grpc-tls-port", "8503"], 1),
        (["-grpc-tls-port=-1", "-partition=default", "-segment=", "-raft-protocol=3"], 0),
        (["-partition=team"], "admin partitions"),
        (["-read-replica"], "a server without a vote"),
    ],
)
def test_flags_of_newer_versions(flags: list[str], warnings: int | str) -> None:
    if isinstance(warnings, str):
        with pytest.raises(ConfigError, match=warnings):
            read_flags(flags)
    else:
        assert len(read_flags(flags).warnings) == warnings


def settings(text: str) -> TlsSettings:
    return tls_settings(hcl(text))


FILES = 'ca_file = "ca" cert_file = "c" key_file = "k"'


@pytest.mark.parametrize(
    ("block", "flat"),
    [
        (f"tls {{ defaults {{ {FILES} }} }}", FILES),
        (
            f"tls {{ defaults {{ {FILES} verify_incoming = true verify_outgoing = true }} }}",
            f"{FILES} verify_incoming = true verify_outgoing = true",
        ),
        (
            f"tls {{ defaults {{ {FILES} verify_incoming = true }} https {{ verify_incoming = false }} }}",
            f"{FILES} verify_incoming_rpc = true",
        ),
        (
            f"tls {{ defaults {{ {FILES} }} internal_rpc {{ verify_incoming = true verify_server_hostname = true }} }}",
            f"{FILES} verify_incoming_rpc = true verify_server_hostname = true",
        ),
        (f'tls {{ defaults {{ {FILES} tls_min_version = "TLSv1_3" }} }}', f'{FILES} tls_min_version = "tls13"'),
        (
            f"{FILES} verify_incoming = true tls {{ https {{ verify_incoming = false }} }}",
            f"{FILES} verify_incoming_rpc = true",
        ),
        (
            f"verify_incoming_rpc = true tls {{ defaults {{ {FILES} verify_incoming = false }} }}",
            f"{FILES} verify_incoming_rpc = true",
        ),
        (
            f"verify_incoming_https = true tls {{ defaults {{ {FILES} }} https {{ verify_incoming = false }} }}",
            FILES,
        ),
        (
            f"verify_server_hostname = true tls {{ defaults {{ {FILES} verify_server_hostname = false }} }}",
            f"{FILES} verify_server_hostname = true",
        ),
        (
            f"verify_server_hostname = true tls {{ internal_rpc {{ verify_server_hostname = false }} }} {FILES}",
            FILES,
        ),
        (
            f'tls {{ defaults {{ {FILES} }} internal_rpc {{ ca_file = "a" }} https {{ ca_file = "a" }} }}',
            FILES.replace('"ca"', '"a"'),
        ),
    ],
)
def test_the_tls_block_is_the_flat_keys(block: str, flat: str) -> None:
    assert settings(block) == settings(flat)


def test_https_has_none_of_the_files_of_port_8300_only() -> None:
    shown = settings(f"tls {{ internal_rpc {{ {FILES} verify_incoming = true }} }}")
    assert (shown.ca_file, shown.verify_incoming_rpc) == ("ca", True)
    assert (shown.of_https.ca_file, shown.of_https.cert_file, shown.verify_incoming_https) == ("", "", False)


def test_the_block_wins_over_flat_keys_and_says_so() -> None:
    config = hcl('ca_file = "old" tls { defaults { ca_file = "new" } }')
    assert config.ca_file == "new"
    assert config.warnings == ("ca_file is given at the top and as tls.defaults.ca_file: the latter counts",)


def test_the_key_of_one_port_is_overridden_by_its_block_alone() -> None:
    said = (
        'verify_incoming_rpc = true tls { %s { verify_incoming = false } } ca_file = "a" cert_file = "c" key_file = "k"'
    )
    assert hcl(said % "defaults").warnings == ()
    assert hcl(said % "internal_rpc").warnings == (
        "verify_incoming_rpc is given at the top and as tls.internal_rpc.verify_incoming: the latter counts",
    )


def test_https_may_have_files_of_its_own(tmp_path: Path) -> None:
    given: dict[str, Any] = {}
    for name in ("rpc", "https"):
        ca = create_authority(10)
        pair = create_certificate(ca, "server", "server.dc1.consul", days=10)
        for part, data in (("ca", ca.certificate), ("cert", pair.certificate), ("key", pair.key)):
            (tmp_path / f"{name}-{part}").write_bytes(data)
            given[f"{name}_{part}"] = tmp_path / f"{name}-{part}"
    text = """ports {{ https = 8501 }}
tls {{
  defaults {{ ca_file = "{rpc_ca}" cert_file = "{rpc_cert}" key_file = "{rpc_key}" verify_incoming = true }}
  https {{ ca_file = "{https_ca}" cert_file = "{https_cert}" key_file = "{https_key}" }}
}}""".format(**given)
    tls = Tls(settings(text))
    assert tls.incoming_rpc is not None
    assert tls.incoming_https is not None
    assert tls.incoming_rpc.get_ca_certs() != tls.incoming_https.get_ca_certs()
    assert tls.settings.of_https.verify_incoming_https
    for name, why in (
        ("ca_file", "VerifyIncoming set but no CA"),
        ("key_file", "VerifyIncoming requires either a Cert"),
    ):
        value = given[f"https_{name.removesuffix('_file')}"]
        with pytest.raises(ConfigError, match=why):
            settings(text.replace(f'{name} = "{value}"', f'{name} = ""'))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('kind = "foo" name = "x"', r"1:2: config_entries.bootstrap: invalid config entry kind: foo"),
        ('name = "x"', "Payload does not contain a kind/Kind key at the top level"),
        ('kind = "service-defaults" name = "x" foo = 1', 'invalid config key "foo"'),
        ('kind = "service-splitter" name = "x" splits { weight = 50 }', "sum of all split weights must be 100"),
        ('kind = "service-defaults"', "Name is required"),
    ],
)
def test_config_entries_are_checked(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        hcl(f"config_entries {{\n bootstrap {{ {text} }} }}")
