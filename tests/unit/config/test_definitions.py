"""Definitions of services and checks in files: blocks and lists by the schema, mistakes with file and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from consulpy.cli.main import main
from consulpy.config.disk import parse
from consulpy.config.flags import read_flags
from consulpy.config.load import read, validate_files
from consulpy.config.values import Reading
from consulpy.errors import ConfigError
from consulpy.local.definitions import service_from_config
from tests.fakes.config import FakeHost


def services(text: str, suffix: str = "hcl") -> list[dict[str, Any]]:
    return list(Reading(parse(f"web.{suffix}", text, suffix)).values["services"])


TTL = {"TTL": "10m"}


@pytest.mark.parametrize(
    ("text", "member", "expected"),
    [
        ('checks { ttl = "10m" }', ("Checks",), [TTL]),
        ('checks { ttl = "10m" }\nchecks { ttl = "10m" }', ("Checks",), [TTL, TTL]),
        ('checks = [{ ttl = "10m" }]', ("Checks",), [TTL]),
        ('check = [{ ttl = "10m" }]', ("Check",), TTL),
        ('meta = [{ a = "b" }]', ("Meta",), {"a": "b"}),
        (
            'proxy { upstreams { destination_name = "db" } }',
            ("Proxy", "Upstreams"),
            [{"DestinationName": "db"}],
        ),
        (
            'proxy { expose { paths { path = "/x" } } }',
            ("Proxy", "Expose", "Paths"),
            [{"Path": "/x"}],
        ),
        ('connect { sidecar_service { checks { ttl = "10m" } } }', ("Connect", "SidecarService", "Checks"), [TTL]),
        ("connect { sidecar_service {} }", ("Connect", "SidecarService"), {}),
        (
            "proxy { config { a { b = 1 } c = [{ d = 1 }] e = [{ f = 1 }, { g = 1 }] } }",
            ("Proxy", "Config"),
            {"a": {"b": 1}, "c": {"d": 1}, "e": [{"f": 1}, {"g": 1}]},
        ),
        ('checks { header { X = ["y"] } http = "u" interval = "1s" }', ("Checks", 0, "Header"), {"X": ["y"]}),
        ('tagged_addresses { lan { address = "x" port = 1 } }', ("TaggedAddresses", "lan", "Port"), 1),
        ("weights { passing = 5 }", ("Weights",), {"Passing": 5, "Warning": 1}),
        ("port = 80.0", ("Port",), 80),
        ("EnableTagOverride = true\nenable_tag_override = false", ("EnableTagOverride",), False),
        ('check { args = ["x"] DockerContainerID = "y" Interval = "1s" }', ("Check", "DockerContainerID"), "y"),
        ('check { scriptargs = ["x"] interval = "1s" }', ("Check", "ScriptArgs"), ["x"]),
        ('check { ttl = "1s" status = "nope" }', ("Check", "Status"), "nope"),
        ('address = "0.0.0.0"', ("Address",), "0.0.0.0"),
        ('namespace = ""\nlocality {}\nsocket_path = ""', ("Name",), "shop"),
    ],
)
def test_blocks_and_lists_follow_the_schema(text: str, member: tuple[Any, ...], expected: Any) -> None:
    """As `/v1/agent/services` of a real agent showed them; what it refuses, such as `check` twice, is refused."""
    for whole in (f'service {{\n name = "shop"\n {text}\n}}', f'services {{\n name = "shop"\n {text}\n}}'):
        (found,) = services(whole)
        inner: Any = found
        for name in member:
            inner = inner[name]
        assert inner == expected


def test_json_has_the_same_schema() -> None:
    tree = {"name": "shop", "checks": [{"ttl": "10m"}], "proxy": {"upstreams": [{"destination_name": "db"}]}}
    for text in (json.dumps({"service": tree}), json.dumps({"services": [tree]}), json.dumps({"service": [tree]})):
        for suffix in ("json", "hcl"):
            (found,) = services(text, suffix)
            assert found["Checks"] == [TTL]
            assert found["Proxy"] == {"Upstreams": [{"DestinationName": "db"}]}


@pytest.mark.parametrize(
    "text",
    [
        'check { ttl = "1s" } checks { ttl = "2s" } checks { ttl = "3s" }',
        'connect { sidecar_service { checks = [{ ttl = "2s" }, { ttl = "3s" }] check { ttl = "1s" } } }',
    ],
)
def test_the_single_check_of_a_file_is_the_last(text: str) -> None:
    """So a real agent numbers those without an id (`service:shop:3` is the single one); over HTTP it is the first."""
    [found] = services(f'service {{ name = "shop" {text} }}')
    found = found.get("Connect", {}).get("SidecarService", found)
    assert [check["TTL"] for check in found["Checks"]] == ["2s", "3s", "1s"]
    assert "Check" not in found


def test_single_services_come_last_as_in_consul() -> None:
    assert [one["Name"] for one in services('service { name = "a" }\nservices { name = "b" }')] == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('meta {\n  "a b" = "c"\n }', 3, "Key contains invalid characters"),
        ("meta {\n" + "\n".join(f'k{number} = "v"' for number in range(65)) + "\n}", 3, "more than 64 key/value pairs"),
        ('check {\n script = "true" }', 4, r"service.check.script of a check; since Consul 1.1 a program is args"),
        ('check {\n args = "true"\n interval = "1s" }', 4, "service.check.args: expected a list, not 'true'"),
        ('port = "80"', 3, "service.port: expected a whole number, not '80'"),
        ("port = 80.5", 3, "expected a whole number"),
        ('check {\n\n interval = "5" }', 5, 'invalid duration: "5": time: missing unit in duration "5"'),
        ("check { interval = 5 }", 3, "expected a text, not 5"),
        ('tags = "x"', 3, "expected a list, not 'x'"),
        ("tags = [1]", 3, r"service.tags\[0\]: expected a text"),
        ("weights { passing = 0 }", 3, "Passing must be greater than 0"),
        ("weights { passing = 1 warning = 70000 }", 3, "DNS Weight must be between 0 and 65535"),
        ("weights {\n passing = 1\n warnin = 2 }", 5, "did you mean warning"),
        ('kind = "connect-proxy"', 1, "DestinationServiceName must be non-empty .*; Port must be set"),
        ("proxy {\n\n foo = 1 }", 5, "invalid config key service.proxy.foo of a proxy"),
        ("connect {\n\n foo = 1 }", 5, "invalid config key service.connect.foo of a connect block"),
        (
            'proxy {\n upstreams { destination_name = "a" }\n upstreams {\n foo = 1 } }',
            6,
            r"service.proxy.upstreams\[1\].foo",
        ),
        (
            'proxy { upstreams { local_bind_port = "1" } }',
            3,
            r"upstreams\[0\].local_bind_port: expected a whole number",
        ),
        ('proxy { mesh_gateway { mode = "foo" } }', 3, 'Invalid Mesh Gateway Mode: "foo"'),
        ('proxy {\n expose { paths { path = "/a" } } }\n kind = "connect-proxy"\n port = 1', 1, "must be non-empty"),
        ('tagged_addresses { lan = "x" }', 3, "tagged_addresses.lan: expected a block"),
        ('check { ttl = "1s" }\ncheck { ttl = "2s" }', 3, "expected one block, not 2"),
        (
            'checks { ttl = "1s" }\nchecks { http = "x" }',
            4,
            r"service.checks\[1\]: Invalid check: Interval must be > 0",
        ),
        ('checks { ttl = "1s" http = "x" interval = "1s" }', 3, "Interval and TTL cannot both be specified"),
        ('connect { sidecar_service { id = "x" } }', 3, "sidecar_service can't specify an ID"),
        ("connect { sidecar_service { connect { sidecar_service {} } } }", 3, "nested sidecar_service"),
        ('socket_path = "/x"', 3, "service.socket_path: it came with Consul 1.10 and is not supported here"),
        ('check { h2ping = "x" }', 3, "Interval must be > 0"),
        ("proxy { config = 1 }", 3, "service.proxy.config: expected a block"),
        ('checks { http = "x" interval = "1s" header { A = "b" } }', 3, r"header.A: expected a list"),
    ],
)
def test_a_mistake_in_a_definition_has_file_and_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigError, match=f"^web.hcl:{line}: .*{why}"):
        services(f'service {{\n name = "shop"\n {text}\n}}')


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('{"services": [\n {"name": "a"},\n {"name": "b",\n  "port": "80"}]}', 4, r"services\[1\].port: expected"),
        ('{"services": [{"name": "a",\n "checks": [{"ttl": "1s"},\n {"tll": "1s"}]}]}', 3, r"did you mean ttl"),
        ('{"service": {"port": 1}}', 1, "a service needs a name"),
    ],
)
def test_a_mistake_in_json_has_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigError, match=f"^web.json:{line}: .*{why}"):
        services(text, "json")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('\ncheck { name = "c" service_id = "nope" ttl = "1s" }', '-hcl 1:2: check: ServiceID "nope" does not exist'),
        ('\nservice { name = "a" check { args = ["x"] interval = "1s" } }', "-hcl 1:2: .*Scripts are disabled"),
        (
            'service { name = "a" connect { sidecar_service { checks { args = ["x"] interval = "1s" } } } }',
            "Scripts are",
        ),
        ('check { ttl = "1s" }', "a check needs a name"),
        (
            'http_config { allow_write_http_from = ["10.0.0.1"] }',
            "expected a network such as 10.0.0.0/8, not '10.0.0.1'",
        ),
    ],
)
def test_what_only_the_whole_configuration_tells(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read(read_flags(["-data-dir", "/x", "-hcl", text]), FakeHost())


def test_scripts_that_are_allowed_and_checks_of_services_and_their_sidecars() -> None:
    text = """enable_local_script_checks = true
service { name = "a" connect { sidecar_service {} } check { args = ["x"] interval = "1s" } }
check { id = "c" service_id = "a-sidecar-proxy" ttl = "1s" }"""
    (found,) = read(read_flags(["-data-dir", "/x", "-hcl", text]), FakeHost()).services
    assert service_from_config(dict(found)).checks[0].script_args == ["x"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", b""),
        ("a.hcl", b""),
        ("a.json", b"null"),
        ("a.json", b'{"service": [null], "check": [null]}'),
        ("a.hcl", b'{"datacenter": "dc1",}'),
        ("a.hcl", b'\n {"services": [{"name": "a", "tags": [null]}], "service": null}'),
        ("a.json", b'\xef\xbb\xbf{"node_name": "a\\ud800b"}'),
        ("a.json", b'{"datacenter": "X Y", "datacenter": "dc1"}'),
    ],
)
def test_a_file_that_loads(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)
    (tmp_path / "data.hcl").write_text('data_dir = "/x"')
    assert validate_files([str(tmp_path)], host=FakeHost()).datacenter == "dc1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"ports": {"http": NaN}}', "invalid character .N."),
        ('{"ports": {"http": ' + "1" * 5000 + "}}", "cannot unmarshal number"),
        ('{"a": 1} {"b": 2}', "x.json:1:10: Extra data"),
        ('{"a" 1}', "Expecting ':'"),
        ('{"a":}', "Expecting value"),
        ('{"a":1 "b":2}', "Expecting ','"),
        ("{1:2}", "property name"),
        ('"x"', "expected one block"),
        ('{"a": "\t"}', "control character"),
    ],
)
def test_json_that_is_none(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError, match=why):
        validate_files([str(tmp_path / "x.json")], host=FakeHost())


def test_a_second_json_value_in_hcl_has_no_effect_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.hcl").write_text('{"data_dir": "/x"}\n{"datacenter": "y"}')
    config = validate_files([str(tmp_path / "x.hcl")], host=FakeHost())
    assert config.datacenter == "dc1"
    assert config.warnings[0].endswith("x.hcl:1: what follows the first JSON value has no effect")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('type = "foo"\n handler = "x"', "Unsupported watch type: foo"),
        ('type = "nodes"', "a watch needs args"),
        ('type = "nodes" foo = 1 handler = "x"', "invalid parameters: foo"),
        ('type = "key" handler = "x"', "Must specify a single key"),
        ('type = "nodes" handler_type = "http"\n http_handler_config { path = "http://h/" timeout = "5" }', "timeout"),
    ],
)
def test_a_watch_that_cannot_run_is_found_by_validate(
    tmp_path: Path, text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real agent says the same at its start, its `validate` does not yet."""
    (tmp_path / "w.hcl").write_text(f'data_dir = "/x"\nbind_addr = "127.0.0.1"\nwatches {{\n {text} }}')
    assert main(["validate", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert f"{tmp_path}/w.hcl:3: watches" in told
    assert why in told


@pytest.mark.parametrize(
    "text",
    [
        'encrypt = ["s3kret", "x"]',
        'service { name = "a" token = ["s3kret"] }',
        'check { name = "a" ttl = "1s" token = ["s3kret"] }',
        'telemetry { circonus_api_token = ["s3kret"] }',
        'check { name = "a" interval = "1s" http = "http://h" header { Authorization = "s3kret" } }',
        'check { name = "a" interval = "1s" http = "http://h" header { Cookie = { a = "s3kret" } } }',
        'check { name = "a" interval = "1s" http = "http://h" header = "Authorization: s3kret" }',
        'acl { tokens { replication = ["s3kret"] } } watches = [{ type = "x" token = "s3kret" }]',
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.hcl").write_text(text)
    with pytest.raises(ConfigError) as caught:
        validate_files([str(tmp_path / "x.hcl")], host=FakeHost())
    assert "s3kret" not in str(caught.value)


PROXY = 'name = "p" kind = "connect-proxy" port = 1 proxy { destination_service_name = "w" %s }'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (PROXY % 'upstreams { destination_name = "q" }', "upstream local bind port cannot be zero"),
        (PROXY % "upstreams { local_bind_port = 1 }", "upstream destination name cannot be empty"),
        (
            PROXY % 'upstreams { destination_name = "q" local_bind_port = 1 destination_type = "foo" }',
            'unknown upstream destination type: "foo"',
        ),
        (
            PROXY % 'upstreams { destination_name = "q" local_bind_port = 1 }\n'
            'upstreams { destination_name = "q" local_bind_port = 2 }',
            r'duplicates of \[type="service", name="q", namespace="", datacenter=""\]',
        ),
        (
            PROXY % 'upstreams { destination_name = "q" local_bind_port = 1 }\n'
            'upstreams { destination_name = "r" local_bind_port = 1 }',
            'bind address and port; "127.0.0.1:1" is specified twice',
        ),
        (PROXY % 'expose { paths { path = "/a" } }', "expose.paths: invalid listener port: 0"),
        (PROXY % "expose { paths { listener_port = 1 } }", "expose.paths: empty path exposed"),
        (
            PROXY % 'expose { paths { path = "/a" listener_port = 1 protocol = "tcp" } }',
            r"protocol 'tcp' not supported for path: /a, must be in: \[http http2\]",
        ),
        ('name = "g" kind = "mesh-gateway"', "Port must be non-zero for a mesh-gateway"),
        (
            'name = "g" kind = "ingress-gateway" proxy { local_service_port = 1 destination_service_name = "x" }',
            "DestinationServiceName configuration is invalid for a ingress-gateway; The Proxy.LocalServicePort",
        ),
        (
            'name = "g" kind = "terminating-gateway" port = 1 connect { sidecar_service {} }',
            "A terminating-gateway cannot have a sidecar service defined",
        ),
    ],
)
def test_a_proxy_that_cannot_be_has_file_and_line(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"^web.hcl:2: service: .*{why}"):
        services(f"\nservice {{ {text} }}")


def test_two_proxies_upstreams_that_differ_are_taken() -> None:
    upstreams = 'upstreams { destination_name = "q" local_bind_port = 1 datacenter = "%s" local_bind_address = "%s" }'
    assert services(f"service {{ {PROXY % f'{upstreams % (1, 1)}{upstreams % (2, 2)}'} }}")
    assert services('service { name = "g" kind = "ingress-gateway" }')
    assert services('service { name = "a" kind = "foo" }')[0]["Kind"] == "", "as in Consul"
