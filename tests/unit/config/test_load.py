"""From a command line and files to one configuration."""

import os
from pathlib import Path

import pytest

from consulpy.config.flags import agent_flags, read_flags
from consulpy.config.key import Kind
from consulpy.config.load import load, read
from consulpy.config.reload import compare
from consulpy.config.schema import KEYS, RuntimeConfig
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import HelpRequested
from tests.fakes.config import FakeHost, interface


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    return ["-data-dir", str(tmp_path / "data")]


def hcl(text: str, *flags: str) -> RuntimeConfig:
    return read(read_flags(["-data-dir", "/x", "-hcl", text, *flags]), FakeHost())


def test_the_walkthrough_in_both_spellings(data: list[str]) -> None:
    consul = load([*data, "-server", "-bootstrap-expect=1", "-node", "agent-one", "-bind=127.0.0.2"], FakeHost())
    twistd = load([*data, "--server", "--bootstrap-expect", "1", "--node=agent-one", "--bind", "127.0.0.2"], FakeHost())
    assert consul == twistd
    assert consul.server
    assert consul.bootstrap, "expecting one server is the same as bootstrap, also in the tags"
    assert (consul.node_name, consul.bind_addr, consul.advertise_addr) == ("agent-one", "127.0.0.2", "127.0.0.2")
    assert consul.skips_leave_on_interrupt
    assert not consul.leaves_on_terminate


def test_defaults_of_a_client_agent(data: list[str]) -> None:
    config = load(data, FakeHost())
    assert (config.node_name, config.datacenter, config.bind_addr) == ("vm", "dc1", "0.0.0.0")
    assert (config.advertise_addr, config.advertise_addr_wan) == ("10.0.0.5", "10.0.0.5")
    assert (config.client_addrs, config.domain) == (("127.0.0.1",), "consul.")
    assert not config.skips_leave_on_interrupt
    assert config.leaves_on_terminate


def test_the_node_id_is_kept(data: list[str]) -> None:
    first = load(data, FakeHost()).node_id
    assert load(data, FakeHost()).node_id == first
    assert (Path(data[1]) / "node-id").read_text() == first
    wanted = "11111111-2222-3333-4444-555555555555"
    assert load([*data, "-node-id", wanted.upper()], FakeHost()).node_id == wanted
    assert load(data, FakeHost()).node_id == wanted


def test_the_node_id_may_come_from_the_host(tmp_path: Path) -> None:
    ids = {
        load(["-data-dir", str(tmp_path / name), "-disable-host-node-id=false"], FakeHost()).node_id for name in "ab"
    }
    assert len(ids) == 1


@pytest.mark.parametrize("content", [b"\xff nonsense", b""])
def test_a_broken_node_id_is_named(data: list[str], content: bytes) -> None:
    load(data, FakeHost())
    (Path(data[1]) / "node-id").write_bytes(content)
    with pytest.raises(ConfigError, match=r"node-id holds no UUID"):
        load(data, FakeHost())


def test_dev_mode_needs_nothing() -> None:
    config = load(["-dev"], FakeHost())
    assert config.dev_mode
    assert config.server
    assert config.data_dir is None
    assert config.bind_addr == "127.0.0.1"
    assert not config.bootstrap, "as in Consul, whose -dev agent carries no bootstrap tag"
    assert config.gossip_lan.probe_interval_s == 0.1
    assert not load(["-dev", "-server=false"], FakeHost()).server


def test_flags_over_files_over_dev(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(
        '{"datacenter": "json", "log_level": "WARN", "retry_join": ["b"], "ports": {"dns": 53}}'
    )
    (tmp_path / "a.hcl").write_text(
        'datacenter = "hcl"\nretry_join = ["a"]\nports { http = 80 }\nnode_meta { x = "1" y = "1" }'
    )
    (tmp_path / "ignored.txt").write_text("nonsense")
    argv = [
        "-dev",
        "-config-dir",
        str(tmp_path),
        "-log-level",
        "ERR",
        "-retry-join",
        "flag",
        "-hcl",
        'node_meta { y = "2" }',
    ]
    config = load(argv, FakeHost())
    assert config.warnings[0] == (
        f"skipping file {tmp_path}/ignored.txt, extension must be .hcl or .json, or config format must be set"
    )
    assert config.datacenter == "json", "files in alphabetical order, later ones win"
    assert config.log_level == "ERR"
    assert config.retry_join == ("flag", "a", "b"), "lists are strung together, those of flags first"
    assert (config.ports.http, config.ports.dns, config.ports.server) == (80, 53, 8300)
    assert config.node_meta == {"x": "1", "y": "2"}


def test_service_and_check_definitions() -> None:
    config = hcl(
        'service { Name = "a" EnableTagOverride = true }\nservices = [{ name = "b" }]\ncheck { name = "c" ttl = "1s" }'
    )
    assert config.services == ({"Name": "b"}, {"Name": "a", "EnableTagOverride": True}), "in the API's form"
    assert config.checks == ({"Name": "c", "TTL": "1s"},)


def test_what_has_no_effect_is_said() -> None:
    config = hcl('raft_protocol = 2\nacl { enabled = false }\nnode_name = "a_b"')
    assert config.warnings[0] == "-hcl 1:1: raft_protocol is not supported yet and has no effect"
    assert config.warnings[1].startswith('Node name "a_b" will not be discoverable via DNS')


def test_half_of_a_certificate_has_no_effect_and_says_so() -> None:
    assert hcl('cert_file = "a.pem"').warnings[0].startswith("cert_file and key_file have no effect without each other")
    assert hcl('cert_file = "a.pem"\nkey_file = "a-key.pem"\n').warnings == ()


@pytest.mark.parametrize(
    ("acl", "warned"),
    [("", True), ('acl { enabled = true default_policy = "allow" }', True),
     ('acl { enabled = true default_policy = "deny" }', False)],
)  # fmt: skip
def test_scripts_of_anybody_are_warned_of(acl: str, warned: bool) -> None:
    """Source: a real agent, which is content with any default policy."""
    found = hcl(f"enable_script_checks = true\n{acl}").warnings
    assert any("is DANGEROUS" in each for each in found) is warned


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["-bnd", "x"], "flag provided but not defined: -bnd; did you mean -bind?"),
        (["--bind"], "flag needs an argument: -bind"),
        (["-server=maybe"], 'invalid value "maybe" for flag -server: expected true or false'),
        (["-http-port", "abc"], 'invalid value "abc" for flag -http-port: expected a whole number'),
        (["-retry-interval", "10"], "-retry-interval: expected a duration such as 10s or 1h30m"),
        (["more"], r"Unexpected extra arguments: \[more\]"),
        ([], "data_dir cannot be empty"),
        (["-data-dir", "/x", "-hcl", "autopilot { max_trailing_logs = -1 }"], "max_trailing_logs cannot be -1"),
        (["-data-dir", "/x", "-hcl", "limits { kv_max_value_size = -5 }"], "expected at least 0, not -5"),
        (["-data-dir", "/x", "-http-port", "70000"], r"ports.http \(-http-port\): invalid port: 70000"),
        (["-data-dir", "/x", "-dns-port", "8500"], "HTTP address 127.0.0.1:8500 already configured for DNS"),
        (["-data-dir", "/x", "-encrypt", "abc"], "encrypt has invalid key: .*base64"),
        (["-data-dir", "/x", "-encrypt", "AAEC"], "key size must be 16, 24 or 32 bytes, not 3"),
        (["-data-dir", "/x", "-datacenter", "A!"], r'datacenter cannot be "a!". Please use only \[a-z0-9-_\]'),
        (["-data-dir", "/x", "-node", "a/b"], r"node_name \(-node\): expected printable characters without a slash"),
        (["-data-dir", "/x", "-node", "x" * 129], "expected at most 128 bytes"),
        (["-data-dir", "/x", "-node-id", "foo"], r"node_id \(-node-id\): expected a UUID"),
        (["-data-dir", "/x", "-domain", "a..b"], r"domain \(-domain\): expected a DNS name"),
        (["-data-dir", "/x", "-log-level", "loud"], r"Invalid log level: loud. Valid .*\] \(log_level\)"),
        (["-data-dir", "/x", "-recursor", "a b"], r"recursors \(-recursor\): expected an IP address or a host name"),
        (["-data-dir", "/x", "-bind", "foo"], r"bind_addr \(-bind\): expected an IP address, not 'foo'"),
        (["-data-dir", "/x", "-bind", "{{ GetPrivateIPs }}", "-advertise", "::"], r"cannot be .* \(advertise_addr\)"),
        (["-data-dir", "/x", "-client", "foo"], "invalid ip address: foo"),
        (["-data-dir", "/x", "-bootstrap-expect", "1"], "'bootstrap_expect > 0' requires 'server = true'"),
        (["-data-dir", "/x", "-server", "-bootstrap-expect", "-1"], "Must be greater than or equal to zero"),
        (["-data-dir", "/x", "-hcl", "performance { raft_multiplier = 11 }"], "Must be between 1 and 10"),
        (["-data-dir", "/x", "-hcl", "performance { raft_multiplier = 0 }"], "Must be between 1 and 10"),
        (["-data-dir", "/x", "-retry-join", "provider=aws tag_key=x"], "cloud provider is not supported yet"),
        (["-data-dir", "/x", "-serf-lan-allowed-cidrs", "10.0.0.0/99"], "expected a network such as 10.0.0.0/8"),
        (["-data-dir", "/x", "-node-meta", "a b:c"], "Key contains invalid characters"),
        (["-data-dir", "/x", "-segment", "s"], r"-segment: network segments \(Consul Enterprise\) not supported yet"),
        (
            ["-config-file", "/nope.json"],
            "config: Open failed on /nope.json. open /nope.json: no such file or directory",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_flag(argv: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        read(read_flags(argv), FakeHost())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\nserverr = true", "-hcl 1:2: invalid config key serverr; did you mean server?"),
        ("ports {\n\n  htp = 1 }", "-hcl 1:3: invalid config key ports.htp; did you mean ports.http?"),
        ("retry_interval = 5", "-hcl 1:1: retry_interval: expected a duration such as 10s or 1h30m, not 5"),
        ('server = "true"', "-hcl 1:1: server: expected true or false, not 'true'"),
        ("bootstrap_expect = 1.5", "expected a whole number, not 1.5"),
        ('retry_join = "a"', "expected a list of texts"),
        ("ports = 1", "ports: expected a block, not 1"),
        ("verify_incoming = true", "VerifyIncoming set but no CA certificates were provided"),
        ('ca_file = "x"\nverify_incoming_rpc = true', "VerifyIncoming requires either a Cert and Key pair"),
        ("verify_server_hostname = true", "VerifyOutgoing set, and no CA certificate provided!"),
        ('tls_min_version = "tls9"', "TLSMinVersion: value tls9 not supported, please specify one of"),
        ('tls_cipher_suites = "FOO"', 'invalid tls cipher suites: unsupported cipher "FOO"'),
        ("auto_encrypt { allow_tls = true }", "-hcl 1:1: auto_encrypt.allow_tls can only be used on a server."),
        (
            'service { name = "x"\n prot = 1 }',
            "-hcl 1:2: invalid config key service.prot of a service; did you mean port?",
        ),
        ("service { port = 1 }", "a service needs a name"),
        ('service "web" { port = 1 }', "invalid config key service.web of a service"),
        ('node_meta = "a"', "expected a block of names and texts"),
        ('datacenter = "x', "failed to parse -hcl 1:1: .*no closing quote"),
    ],
)
def test_a_mistake_in_a_file_has_its_line(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why.replace("?", r"\?")):
        hcl(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"datacenter": "a",}', r"x.json:1:\d+"),
        ('{\n "ports": {\n  "htp": 1}}', "x.json:3: invalid config key ports.htp"),
        ("[1]", "expected one block"),
        ("\n", "failed to parse .*x.json:2:1"),
        ('{"a":' * 3000, "x.json"),
    ],
)
def test_a_mistake_in_json_has_its_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=why):
        read(read_flags(["-data-dir", "/x", "-config-file", str(tmp_path / "x.json")]), FakeHost())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('\ndatacenter = "A B"', '-hcl 1:2: datacenter cannot be "a b"'),
        ("ports {\n\n http = 70000 }", r"-hcl 1:3: ports.http \(-http-port\): invalid port"),
        ('\nencrypt = "abc"', "-hcl 1:2: encrypt has invalid key"),
        ('node_meta {\n "consul-x" = "y" }', "-hcl 1:1: node_meta invalid"),
        ("\nbootstrap = true", "-hcl 1:2: 'bootstrap = true' requires"),
        ('\nbind_addr = "{{ GetPrivateIPP }}"', r"-hcl 1:2: bind_addr \(-bind\): 'GetPrivateIPP' is no function"),
        ("performance {\n raft_multiplier = 11 }", "-hcl 1:2: performance.raft_multiplier cannot be 11"),
        ('addresses { dns = "unix:///x" }', "-hcl 1:1: addresses.dns: DNS address cannot be a unix socket"),
        (
            'addresses { http = "/x" }\nunix_sockets { mode = "abc" }',
            "-hcl 1:2: unix_sockets.mode: expected octal digits",
        ),
        ('connect {\n ca_provider = "nope" }', "-hcl 1:2: connect.ca_provider: nope is not a valid CA provider"),
    ],
)
def test_a_mistake_that_only_all_settings_together_show_has_its_line_too(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        hcl(text)


def test_consul_warns_of_these_too() -> None:
    assert hcl("server = true\nbootstrap_expect = 1").warnings == (
        "BootstrapExpect is set to 1; this is the same as Bootstrap mode.",
        "bootstrap = true: do not enable unless necessary",
    )
    https = 'ports { https = 1 }\naddresses { https = "unix:///x" }\ncert_file = "c"\nkey_file = "k"'
    assert hcl(https).warnings[0].startswith("addresses.https: HTTPS on a unix socket is not supported yet")
    assert hcl('telemetry { prefix_filter = ["x", "+a"] }').warnings == (
        "Filter rule must begin with either '+' or '-': \"x\"",
    )


def test_less_than_no_attempts_are_no_limit() -> None:
    assert hcl("retry_max = -1\nretry_max_wan = -5").retry_max == 0


def test_a_long_name_is_warned_of_as_such() -> None:
    assert (
        hcl(f'node_name = "{"x" * 64}"')
        .warnings[0]
        .endswith("will not be discoverable via DNS due to it being too long.")
    )


def test_any_port_below_one_is_off() -> None:
    ports = hcl("ports { http = -2 dns = -5 serf_wan = 0 }").ports
    assert (ports.http, ports.dns, ports.serf_wan) == (-1, -1, 0)


def test_an_empty_address_of_a_listener_is_that_of_all_and_an_empty_address_of_all_is_none() -> None:
    assert hcl('addresses { http = "" dns = "" }').client_addrs == ("127.0.0.1",)
    assert hcl('client_addr = ""').client_addrs == ()
    assert hcl("limits { http_max_conns_per_client = -1 }").limits.http_max_conns_per_client == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('service { name = "a" }\nservice { name = "b" }', "expected one block, not 2; several go into services = "),
        ("ports {}\nports {}", "ports: expected one block, not 2"),
        ("raft_trailing_logs = 9223372036854775808", "-hcl 1:1: 9223372036854775808 is no number of 64 bits"),
        ("raft_trailing_logs = 0xffffffffffffffff", "0xffffffffffffffff is no number of 64 bits"),
        ("raft_trailing_logs = 1e30", "raft_trailing_logs: expected a whole number of 64 bits"),
        (
            "auto_config { authorization { static { bound_audiences = 1 } } }",
            "bound_audiences: expected a list of texts",
        ),
        ("auto_config { authorization { foo = 1 } }", "invalid config key auto_config.authorization.foo"),
        ('node_name = "a"\nNODE_NAME = "b"', "-hcl 1:2: invalid config key NODE_NAME: the block has node_name already"),
        ('{"services": [{"name": "a", "Name": "b"}]}', r"services\[0\].Name: the block has name already"),
        ('acl { default_policy = "denny" }', "-hcl 1:1: acl.default_policy: expected allow or deny, not 'denny'"),
        ('acl { default_policy = "Deny" }', "expected allow or deny, not 'Deny'"),
        ('acl_default_policy = "x"', "expected allow or deny, not 'x'"),
        ('acl { down_policy = "foo" }', "acl.down_policy: expected one of allow, deny, extend-cache, async-cache"),
        ('advertise_addr_ipv4 = "::1"', "-hcl 1:1: advertise_addr_ipv4 must be an ipv4 address"),
        ('advertise_addr_wan_ipv6 = "1.2.3.4"', "-hcl 1:1: advertise_addr_wan_ipv6 must be an ipv6 address"),
        ('primary_datacenter = "a b"', '-hcl 1:1: primary_datacenter cannot be "a b". Please use only'),
        ('acl_datacenter = "a.b"', '-hcl 1:1: acl_datacenter cannot be "a.b". Please use only'),
        ("cache { entry_fetch_rate = -1 }", "-hcl 1:1: cache.entry_fetch_rate: must be strictly positive, was: -1"),
        ("cache { entry_fetch_max_burst = 0 }", "cache.entry_fetch_max_burst: must be strictly positive, was: 0"),
        ("ports { sidecar_max_port = 70000 }", "-hcl 1:1: ports.sidecar_max_port: invalid port: 70000"),
        ("ports { expose_max_port = 70000 }", "-hcl 1:1: ports.expose_max_port: invalid port: 70000"),
        ('client_addr = "unix:///x"', "-hcl 1:1: client_addr cannot be a unix socket"),
        ('telemetry { statsd_address = "x" }', "-hcl 1:1: telemetry.statsd_address: expected a host and a port"),
        ('telemetry { dogstatsd_addr = "x:y:z" }', "-hcl 1:1: telemetry.dogstatsd_addr: expected a host and a port"),
        ('datacenter = ""', "datacenter cannot be empty"),
        ('audit { sink "a" {\n type = 5 } }', r"-hcl 1:2: audit.sink.a.type: expected a text, not 5"),
        ('audit { sink "a" { nope = "x" } }', "invalid config key audit.sink.a.nope of a sink"),
        ("acl { tokens { managed_service_provider = [{ nope = 5 }] } }", r"managed_service_provider\[0\].nope of a"),
        (
            "ports { dns = 8500 }",
            r"-hcl 1:1: HTTP address 127.0.0.1:8500 already configured for DNS \(ports.http, ports.dns\)",
        ),
    ],
)
def test_what_consul_refuses_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        hcl(text)


def test_an_empty_policy_is_the_default_one() -> None:
    acl = hcl('acl { enabled = true default_policy = "" down_policy = "" }').acl
    assert (acl.default_policy, acl.down_policy) == ("allow", "extend-cache")


def test_settings_of_access_control_that_act_are_not_warned_of() -> None:
    assert hcl("acl { enabled = true enable_token_replication = true }").warnings == ()


def test_a_block_is_a_list_of_one_in_hcl_only(tmp_path: Path) -> None:
    text = '{"services": {"name": "a"}}'
    assert [one["Name"] for one in hcl(text).services] == ["a"]
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.json:1: services: expected a list of blocks"):
        read(read_flags(["-data-dir", "/x", "-config-dir", str(tmp_path)]), FakeHost())


def test_a_bind_address_of_another_host(data: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"bind_addr \(-bind\): this host does not have the address 10.9.9.9; it has: .*10.0.0.5"
    ):
        load([*data, "-bind", "10.9.9.9"], FakeHost())


def test_the_address_to_advertise_must_be_clear(data: list[str]) -> None:
    two = FakeHost(interface("eth0", "10.0.0.5"), interface("eth1", "10.0.1.5"))
    with pytest.raises(ConfigError, match=r"Multiple private IPv4 addresses found .10\.0\.0\.5, 10\.0\.1\.5."):
        load(data, two)
    with pytest.raises(ConfigError, match="No private IPv4 address found"):
        load(data, FakeHost(interface("eth0", "8.8.8.8")))


def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not a directory"):
        load(["-data-dir", str(tmp_path / "file")], FakeHost())
    with pytest.raises(ConfigError, match=r"data_dir \(-data-dir\): cannot make"):
        load(["-data-dir", str(tmp_path / "file" / "inner")], FakeHost())


def test_a_data_directory_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so the system's answer is made up."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="may not be written"):
        load(["-data-dir", str(tmp_path)], FakeHost())


def test_the_raft_folder_of_a_client_agent_is_no_servers(tmp_path: Path) -> None:
    (tmp_path / "raft").mkdir()
    assert load(["-data-dir", str(tmp_path), "-server", "-bootstrap-expect", "1"], FakeHost()).server


def test_help_is_asked_for() -> None:
    with pytest.raises(HelpRequested):
        read_flags(["-h"])


def test_a_reload_tells_what_it_applies() -> None:
    before = hcl('recursors = ["8.8.8.8"]')
    after = hcl('recursors = ["8.8.4.4"]\nports { http = 80 }\nlog_level = "WARN"')
    changes = compare(before, after)
    assert changes.applied == ("recursors", "log_level")
    assert changes.need_restart == ("ports.http",)
    assert str(changes) == "applied: recursors, log_level; not applied before a restart: ports.http"
    assert str(compare(before, before)) == "no setting changed"


@pytest.mark.parametrize(
    "keys",
    [
        'ca_file = "ca.pem"',
        'ca_path = "authorities"',
        'cert_file = "a.pem" key_file = "a.key"',
        'tls { https { cert_file = "a.pem" key_file = "a.key" } } ports { https = 8501 }',
    ],
)
def test_a_reload_tells_that_certificates_were_read_again(keys: str) -> None:
    """Whoever replaced a certificate under its name was told that nothing had changed."""
    config = hcl(keys)
    assert str(compare(config, config)) == "no setting changed; certificates and keys were read again"


def test_every_key_is_declared_soundly() -> None:
    """Flags are unique, and a default has the form that its kind is read into."""
    flags = [key.flag for _, key in KEYS.values() if key.flag]
    assert len(flags) == len(set(flags))
    kinds = {Kind.TEXTS: tuple, Kind.BLOCKS: tuple, Kind.TEXT_MAP: dict, Kind.DURATION_MAP: dict, Kind.SWITCH: bool}
    for path, (names, key) in KEYS.items():
        if key.default is not None and key.kind in kinds:
            assert isinstance(key.default, kinds[key.kind]), path
        if key.kind is Kind.DURATION:
            assert names[-1].endswith("_s"), f"{path}: units last"
    assert set(agent_flags().flags) >= set(flags)
