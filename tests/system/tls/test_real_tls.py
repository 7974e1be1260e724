"""Certificates of `consulpy tls` on agents of both programs, everything verified: calls, snapshots, HTTPS, reload."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from consulpy.codec.msgpack import pack
from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

BLOCK = "127.84.1"
SERVER, OURS, THEIRS, STRANGER, PLAIN = (f"{BLOCK}.{number}" for number in range(1, 6))
#: A file in the directory of agents that are configured by `tls {}`.
BLOCKS = "blocks"
VERIFY = {"verify_incoming": True, "verify_outgoing": True, "verify_server_hostname": True}


def certificates(host: Host) -> None:
    """An authority with certificates for all, and one of another authority in `other/`."""
    run = lambda *words: host.run("consulpy", "tls", *words)  # noqa: E731
    run("ca", "create")
    run("cert", "create", "-server", "-additional-ipaddress", SERVER)
    run("cert", "create", "-client")
    run("cert", "create", "-cli")
    other = Host(host.directory / "other")
    other.run("consulpy", "tls", "ca", "create")
    other.run("consulpy", "tls", "cert", "create", "-client")


def start(host: Host, program: str, name: str, address: str, kind: str, ca: str = "", **more: Any) -> Any:
    config: dict[str, Any] = {
        "node_name": name,
        "bind_addr": address,
        "client_addr": address,
        "data_dir": f"data-{name}",
        "performance": {"raft_multiplier": 1},
    }
    if kind:
        files = {
            "ca_file": f"{ca}consul-agent-ca.pem",
            "cert_file": f"{ca}dc1-{kind}-consul-0.pem",
            "key_file": f"{ca}dc1-{kind}-consul-0-key.pem",
        }
        if (host.directory / BLOCKS).exists() and program == "consulpy":
            config["tls"] = {
                "defaults": {**files, "verify_incoming": True, "verify_outgoing": True, "tls_min_version": "TLSv1_2"},
                "internal_rpc": {"verify_server_hostname": True},
                "grpc": {"use_auto_cert": False},
            }
        else:
            config |= {**files, **VERIFY}
    if kind != "server":
        config |= {"retry_join": [SERVER], "retry_interval": "1s"}
    (host.directory / f"{name}.json").write_text(json.dumps(config | more))
    return host.start(name, program, "agent", "-config-file", f"{name}.json")


@pytest.fixture(scope="module", params=["consulpy", "consul", "blocks"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A server of one program; clients of both. blocks: ours are all configured by `tls {}`, as since Consul 1.12."""
    program = "consul" if request.param == "consul" else "consulpy"
    with hosts(tmp_path_factory.mktemp("tls"), None) as (made,):
        if request.param == "blocks":
            (made.directory / BLOCKS).touch()
        certificates(made)
        ports = {"https": 8501}
        start(made, program, "server", SERVER, "server", server=True, bootstrap_expect=1, ports=ports)
        start(made, "consulpy", "ours", OURS, "client")
        start(made, "consul", "theirs", THEIRS, "client")
        for address in (SERVER, OURS, THEIRS):
            eventually(lambda address=address: len(ask(f"{address}:8500/v1/catalog/nodes")) == 3, "all in the catalog")
        yield made


def test_servers_say_that_they_take_tls(host: Host) -> None:
    tags = {each["Name"]: each["Tags"] for each in ask(f"{OURS}:8500/v1/agent/members")}
    assert tags["server"]["use_tls"] == "1"


def test_everything_goes_through(host: Host) -> None:
    for address, name in ((OURS, "ours"), (THEIRS, "theirs")):
        assert ask(f"{address}:8500/v1/kv/{name}", "PUT", b"x" * 100_000) is True
        assert len(ask(f"{SERVER}:8500/v1/kv/{name}?raw")) == 100_000
        ask(f"{address}:8500/v1/agent/service/register", "PUT", json.dumps({"Name": name, "Port": 1}).encode())
        eventually(lambda name=name: ask(f"{SERVER}:8500/v1/health/service/{name}?passing"), "registered")
        for program in ("consul", "consulpy"):
            told = host.output(program, "snapshot", "save", f"-http-addr={address}:8500", f"{name}.snap")
            assert "Saved and verified snapshot to index" in told
            told = host.output(program, "snapshot", "restore", f"-http-addr={address}:8500", f"{name}.snap")
            assert told == "Restored snapshot\n"


def test_https_asks_for_a_certificate(host: Host) -> None:
    https = [f"-http-addr=https://{SERVER}:8501", "-ca-file=consul-agent-ca.pem"]
    mine = ["-client-cert=dc1-cli-consul-0.pem", "-client-key=dc1-cli-consul-0-key.pem"]
    for program in ("consul", "consulpy"):
        assert "theirs" in host.output(program, "catalog", "nodes", *https, *mine)
        assert host.run(program, "catalog", "nodes", *https, check=False).returncode == 1


@pytest.mark.parametrize("pieces", [[b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n"], [b"P", b"U", b"T ", b"/"]])
def test_plain_http_on_the_https_port_is_told_so(host: Host, pieces: list[bytes]) -> None:
    with socket.create_connection((SERVER, 8501), 10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
        told = b"".join(iter(lambda: client.recv(4096), b""))
    assert told == b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


def test_a_command_that_speaks_http_to_the_https_port_says_what_to_do(host: Host) -> None:
    done = host.run("consulpy", "catalog", "nodes", f"-http-addr={SERVER}:8501", check=False)
    assert done.returncode == 1
    assert "This port takes HTTPS" in done.stderr

    done = host.run("consulpy", "doctor", f"-http-addr={SERVER}:8501", check=False)
    assert f"{SERVER}:8501 is an HTTPS port" in done.stdout
    assert f"use -http-addr=https://{SERVER}:8501" in done.stdout


@pytest.mark.parametrize("program", ["consulpy", "consul"])
@pytest.mark.parametrize(("kind", "ca", "address"), [("client", "other/", STRANGER), ("", "", PLAIN)])
def test_who_has_the_wrong_certificate_or_none_gets_nothing(
    host: Host, program: str, kind: str, ca: str, address: str
) -> None:
    name = f"{kind or 'plain'}-{program}"
    agent = start(host, program, name, address, kind, ca)
    eventually(lambda: ask(f"{address}:8500/v1/agent/members")[2:], "it is in the gossip")
    with pytest.raises(ValueError, match=r"^500: rpc error"):
        ask(f"{address}:8500/v1/catalog/nodes", within_s=40)
    with pytest.raises(ValueError, match=r"^500: rpc error"):
        ask(f"{address}:8500/v1/kv/{name}", "PUT", b"x", within_s=40)
    agent.kill()
    with pytest.raises(ValueError, match=r"^404"):
        ask(f"{SERVER}:8500/v1/kv/{name}")


def serial(host: Host) -> str:
    """The serial number of the certificate that HTTPS shows now."""
    context = ssl.create_default_context(cafile=str(host.directory / "consul-agent-ca.pem"))
    context.load_cert_chain(*(str(host.directory / f"dc1-cli-consul-0{end}.pem") for end in ("", "-key")))
    with (
        socket.create_connection((SERVER, 8501), 5) as plain,
        context.wrap_socket(plain, server_hostname="server.dc1.consul") as secure,
    ):
        found = secure.getpeercert()
        assert found
        return str(found["serialNumber"])


def test_a_reload_shows_new_certificates_and_keeps_connections(host: Host) -> None:
    before = serial(host)
    index = ask(f"{OURS}:8500/v1/kv/reload?index=0", "PUT", b"1") and ask(f"{OURS}:8500/v1/kv/reload")[0]["ModifyIndex"]
    waiting = host.start("watch", "curl", "-s", f"http://{OURS}:8500/v1/kv/reload?raw&wait=30s&index={index}")
    host.run("consulpy", "tls", "cert", "create", "-server", "-additional-ipaddress", SERVER)
    for end in (".pem", "-key.pem"):
        Path(host.directory / f"dc1-server-consul-1{end}").replace(host.directory / f"dc1-server-consul-0{end}")
    host.run("consul", "reload", f"-http-addr={SERVER}:8500")
    eventually(lambda: serial(host) != before, "the new certificate is shown")
    assert ask(f"{OURS}:8500/v1/kv/reload", "PUT", b"2") is True
    assert waiting.wait() == 0
    assert waiting.output == "2"


def spoken(host: Host, name: str, *, certificate: bool = True) -> bytes:
    """What the server answers to a call on a connection that begins with TLS at once, and names its protocol so."""
    context = ssl.create_default_context(cafile=str(host.directory / "consul-agent-ca.pem"))
    context.check_hostname = False
    context.set_alpn_protocols([name])
    if certificate:
        files = (host.directory / f"dc1-client-consul-0{end}.pem" for end in ("", "-key"))
        context.load_cert_chain(*files)
    with (
        socket.create_connection((SERVER, 8300), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="server.dc1.consul") as secure,
    ):
        secure.sendall(pack({"Seq": 1, "ServiceMethod": "Status.Ping"}) + pack({}))
        return secure.recv(4096)


def test_tls_without_a_byte_before_it_names_its_protocol_by_alpn(host: Host) -> None:
    """As through mesh gateways, and newer agents elsewhere."""
    assert b"Status.Ping" in spoken(host, "consul/rpc-single")
    for name, certificate in (("consul/rpc-single", False), ("consul/rpc-gossip", True)):
        with suppress(OSError):  # refused by an alert
            assert spoken(host, name, certificate=certificate) == b"", name
    assert b"Status.Ping" in spoken(host, "consul/rpc-single")
