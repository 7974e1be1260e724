"""`consulpy connect proxy` beside `consul connect proxy`: both roles, intentions, impostors, a rotation, settings.

The agent is a real Consul, so that what the proxies need of it is what Consul gives.
"""

import datetime
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.peers.programs import Host, Program, ask, eventually, hosts

pytestmark = [pytest.mark.peers, pytest.mark.programs("openssl")]

ADDRESS = "127.86.2.1"
HTTP = f"{ADDRESS}:8500"
PUBLIC, LOCAL = 19000, 19100
BOTH = [("consulpy", "consulpy"), ("consulpy", "consul"), ("consul", "consulpy")]


class Echo:
    """A program behind the proxy: sends back what it gets, in capitals, until the other side ends."""

    def __init__(self) -> None:
        self._listener = socket.create_server((ADDRESS, 0))
        self.address = f"{ADDRESS}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data.upper())

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A real agent with Connect."""
    with hosts(tmp_path_factory.mktemp("proxy"), None) as (made,):
        made.start("agent", "consul", "agent", "-dev", "-bind", ADDRESS, "-client", ADDRESS, "-log-level", "warn")
        eventually(lambda: ask(f"{HTTP}/v1/connect/ca/roots")["TrustDomain"], "a CA")
        yield made


@pytest.fixture
def echo(host: Host) -> Iterator[Echo]:
    """The program behind the proxy; afterwards proxies, services and intentions are gone."""
    made = Echo()
    yield made
    made.close()
    for program in host.programs[1:]:
        program.close()
    del host.programs[1:]
    for service in ask(f"{HTTP}/v1/agent/services"):
        ask(f"{HTTP}/v1/agent/service/deregister/{service}", "PUT")
    for intention in ask(f"{HTTP}/v1/connect/intentions"):
        ask(f"{HTTP}/v1/connect/intentions/{intention['ID']}", "DELETE")


def send(method: str, path: str, body: Any) -> Any:
    return ask(f"{HTTP}{path}", method, json.dumps(body).encode())


def run_proxy(host: Host, program: str, name: str, *words: str) -> Program:
    return host.start(name, program, "connect", "proxy", "-http-addr", HTTP, *words)


def start_pair(host: Host, echo: Echo, server: str, client: str, service: str = "db") -> tuple[Program, Program]:
    """A proxy before the echo that says it is `service`, and one that lets `web` use `db`."""
    words = ("-service", service, "-service-addr", echo.address, "-listen", f"{ADDRESS}:{PUBLIC}")
    behind = run_proxy(host, server, f"{server}-server", *words)
    register("db-p", PUBLIC, {"DestinationServiceName": "db"})
    front = run_proxy(host, client, f"{client}-client", "-service", "web", "-upstream", f"db:{ADDRESS}:{LOCAL}")
    eventually(lambda: connected(PUBLIC) and connected(LOCAL), "both proxies listen")
    return behind, front


def register(service_id: str, port: int, proxy: dict[str, Any]) -> None:
    body = {"Name": service_id, "Kind": "connect-proxy", "Port": port, "Address": ADDRESS, "Proxy": proxy}
    send("PUT", "/v1/agent/service/register", body)


def connected(port: int) -> bool:
    with socket.create_connection((ADDRESS, port), 2):
        return True


def say(data: bytes, port: int = LOCAL, address: str = ADDRESS) -> bytes:
    """Send, and read as much; b"" if the connection is closed instead."""
    got = b""
    with socket.create_connection((address, port), 5) as connection:
        connection.settimeout(10)
        threading.Thread(target=_write, args=(connection, data), daemon=True).start()
        try:
            while len(got) < len(data) and (part := connection.recv(65536)):
                got += part
        except OSError:
            return b""
    return got


def _write(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        connection.sendall(data)


@pytest.mark.parametrize(("server", "client"), BOTH)
def test_bytes_pass_both_ways_until_an_intention_denies(host: Host, echo: Echo, server: str, client: str) -> None:
    """Each new connection is asked for; what is established stays (as in Consul)."""
    start_pair(host, echo, server, client)
    assert eventually(lambda: say(b"hello"), "a first connection") == b"HELLO"
    large = os.urandom(1).hex().encode() * 2_000_000
    assert say(large) == large.upper(), "nothing is lost where one side is slower"
    living = socket.create_connection((ADDRESS, LOCAL), 5)
    with closing(living):
        living.sendall(b"before")
        assert living.recv(100) == b"BEFORE"
        deny = {"SourceName": "web", "DestinationName": "db", "Action": "deny"}
        intention = send("POST", "/v1/connect/intentions", deny)["ID"]
        eventually(lambda: say(b"hello") == b"", "a denied connection is closed")
        living.sendall(b"after")
        assert living.recv(100) == b"AFTER"
    ask(f"{HTTP}/v1/connect/intentions/{intention}", "DELETE")
    eventually(lambda: say(b"hello") == b"HELLO", "allowed again")


def test_a_program_that_ends_its_side_still_gets_the_answer(host: Host, echo: Echo) -> None:
    """Half-closed connections go on between two proxies of ours (Consul's proxy ends both directions)."""
    start_pair(host, echo, "consulpy", "consulpy")
    with socket.create_connection((ADDRESS, LOCAL), 5) as connection:
        connection.settimeout(10)
        connection.sendall(b"question")
        connection.shutdown(socket.SHUT_WR)
        got = b""
        while part := connection.recv(100):
            got += part
    assert got == b"QUESTION"


@pytest.mark.parametrize(("server", "client"), BOTH)
def test_an_impostor_gets_no_byte(host: Host, echo: Echo, server: str, client: str) -> None:
    """Where the catalog says db, a proxy of another service listens."""
    start_pair(host, echo, server, client, service="impostor")
    for _ in range(3):
        assert say(b"secret") == b""
    if client == "consulpy":
        assert "its certificate is of spiffe://" in host.programs[-1].output


def test_a_stranger_and_a_plain_client_are_refused(host: Host, echo: Echo) -> None:
    """Wrong certificates end in the handshake; who sends none, or no TLS at all, reaches nothing."""
    start_pair(host, echo, "consulpy", "consulpy")
    assert say(b"GET / HTTP/1.0\r\n\r\n", PUBLIC) == b""
    openssl = ("openssl", "s_client", "-connect", f"{ADDRESS}:{PUBLIC}", "-tls1_2")
    refused = host.run(*openssl, check=False)
    assert "alert handshake failure" in refused.stderr
    key, certificate = stranger()
    (host.directory / "stranger.pem").write_text(certificate + key)
    refused = host.run(*openssl, "-cert", "stranger.pem", check=False)
    assert "alert unknown ca" in refused.stderr
    newer = ("openssl", "s_client", "-connect", f"{ADDRESS}:{PUBLIC}", "-tls1_3", "-cert", "stranger.pem")
    refused = host.run("sh", "-c", f"yes | head -c 200000 | {' '.join(newer)}", check=False)
    assert "alert unknown ca" in refused.stderr, "not a reset, though it has sent data by then"
    assert eventually(lambda: say(b"hello"), "and others still pass") == b"HELLO"


def stranger() -> tuple[str, str]:
    """Key and certificate of db's identity by an authority that nobody trusts."""
    domain = ask(f"{HTTP}/v1/connect/ca/roots")["TrustDomain"]
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web")])
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    uri = x509.UniformResourceIdentifier(f"spiffe://{domain}/ns/default/dc/dc1/svc/web")
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 5, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(key, hashes.SHA256())
    )
    shown = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return shown.decode(), made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(("server", "client"), BOTH)
def test_a_rotation_refuses_nobody(host: Host, echo: Echo, server: str, client: str) -> None:
    """New roots while connections live: they go on, and so do new ones, with old and with new certificates."""
    start_pair(host, echo, server, client)
    assert eventually(lambda: say(b"hello"), "a first connection") == b"HELLO"
    living = socket.create_connection((ADDRESS, LOCAL), 5)
    living.settimeout(10)
    with closing(living):
        living.sendall(b"before")
        assert living.recv(100) == b"BEFORE"
        ours = {each: renewals(each) for each in host.programs[1:] if each.command[0] == "consulpy"}
        before = ask(f"{HTTP}/v1/connect/ca/roots")["ActiveRootID"]
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        config = {"Provider": "consul", "Config": {"PrivateKey": key.decode()}}
        send("PUT", "/v1/connect/ca/configuration", config)
        assert ask(f"{HTTP}/v1/connect/ca/roots")["ActiveRootID"] != before
        end = time.monotonic() + 60  # a leaf follows within 30 s
        while not all(renewals(each) >= old + 2 for each, old in ours.items()):
            assert say(b"hello") == b"HELLO", "every connection during the rotation"
            assert time.monotonic() < end, "new roots, and a new leaf"
            time.sleep(0.2)
        assert say(b"hello") == b"HELLO"
        living.sendall(b"after")
        assert living.recv(100) == b"AFTER"


def renewals(proxy: Program) -> int:
    return proxy.output.count("certificates are in use")


def test_a_sidecar_follows_its_registration(host: Host, echo: Echo) -> None:
    """`-sidecar-for`: everything is in the agent; a changed upstream opens another listener and closes the old one."""
    behind = run_proxy(host, "consul", "behind", *("-service", "db", "-service-addr", echo.address), *listen())
    register("db-p", PUBLIC, {"DestinationServiceName": "db"})
    sidecar: dict[str, Any] = {"DestinationServiceName": "web", "DestinationServiceID": "web1"}
    upstream = {"DestinationName": "db", "LocalBindAddress": ADDRESS, "LocalBindPort": LOCAL}
    register("web-px", 19001, sidecar | {"Upstreams": [upstream], "LocalServicePort": 1})
    proxy = run_proxy(host, "consulpy", "sidecar", "-sidecar-for", "web1")
    assert eventually(lambda: say(b"hello"), "the upstream") == b"HELLO"
    register("web-px", 19001, sidecar | {"Upstreams": [upstream | {"LocalBindPort": LOCAL + 1}], "LocalServicePort": 1})
    assert eventually(lambda: say(b"hello", LOCAL + 1), "the changed upstream") == b"HELLO"
    with pytest.raises(ConnectionRefusedError):
        connected(LOCAL)
    assert proxy.terminate() == 0
    behind.terminate()


def listen() -> tuple[str, str]:
    return "-listen", f"{ADDRESS}:{PUBLIC}"


def test_a_proxy_registers_itself_and_goes(host: Host, echo: Echo) -> None:
    words = ("-service", "db", "-service-addr", echo.address, *listen(), "-register", "-register-id", "x")
    proxy = run_proxy(host, "consulpy", "registered", *words)
    eventually(lambda: ask(f"{HTTP}/v1/agent/checks")["db-proxy-x-ttl"]["Status"] == "passing", "a living check")
    found = ask(f"{HTTP}/v1/agent/services")["db-proxy-x"]
    assert (found["Service"], found["Address"], found["Port"]) == ("db-proxy", ADDRESS, PUBLIC)
    assert proxy.interrupt() == 0
    assert ask(f"{HTTP}/v1/agent/services") == {}


def test_a_clock_that_is_set_back_stops_no_heartbeat(host: Host, echo: Echo) -> None:
    """The proxy's timers are monotonic: it registers again soon, not hours later."""
    offset = host.directory / "offset"
    offset.write_text("+0")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    fake = [f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={offset}", "FAKETIME_NO_CACHE=1"]
    words = ("-http-addr", HTTP, "-service", "db", "-service-addr", echo.address, *listen(), "-register")
    host.start("slow", "env", *fake, "FAKETIME_DONT_FAKE_MONOTONIC=1", "consulpy", "connect", "proxy", *words)
    services = f"{HTTP}/v1/agent/services"
    eventually(lambda: "db-proxy" in ask(services), "a registration")
    offset.write_text("-7200")
    ask(f"{HTTP}/v1/agent/service/deregister/db-proxy", "PUT")
    eventually(lambda: "db-proxy" in ask(services), "another one", 45)


def test_an_agent_that_starts_again_with_another_ca_is_followed(tmp_path: Path) -> None:
    """The registration is made again, new certificates are fetched, and bytes pass."""
    address = "127.86.2.9"
    with hosts(tmp_path, None) as (made,):
        agent = ("consul", "agent", "-dev", "-bind", address, "-client", address, "-log-level", "err")
        first = made.start("first", *agent)
        eventually(lambda: ask(f"{address}:8500/v1/connect/ca/roots")["TrustDomain"], "a CA")
        program = Echo()
        options = ("consulpy", "connect", "proxy", "-http-addr", f"{address}:8500")
        behind = ("-service", "db", "-service-addr", program.address, "-listen", f"{address}:{PUBLIC}", "-register")
        proxies = [
            made.start("behind", *options, *behind),
            made.start("front", *options, "-service", "web", "-upstream", f"db:{address}:{LOCAL}"),
        ]
        eventually(lambda: say(b"hello", LOCAL, address) == b"HELLO", "bytes pass")
        first.kill()
        made.start("second", *agent)
        services = f"{address}:8500/v1/agent/services"
        eventually(lambda: list(ask(services)) == ["db-proxy"], "it is registered again")
        for proxy in proxies:  # the first pair of leaf and roots, then another leaf, then other roots
            eventually(lambda proxy=proxy: "in use, renewal 3" in proxy.output, "new certificates and roots")
        eventually(lambda: say(b"hello", LOCAL, address) == b"HELLO", "bytes pass again")
        program.close()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "-service or -proxy-id must be specified"),
        (("-service", "a", "-listen", "x"), "address x: missing port in address"),
        (("-service", "a", "-listen", ":9"), "-service-addr must be specified with -listen"),
        (("-service", "a", "-register"), "-register may only be specified with -service and -listen"),
        (("-sidecar-for", "nobody"), "No sidecar proxy registered for nobody"),
        (("-service", "a", "-upstream", "x"), "Upstream value should be name:addr"),
        (("-service", "a", "-log-level", "loud"), "Invalid log level: loud"),
        (("-service", "a", "extra"), "Should have no non-flag arguments."),
        (("-service", "a", "-upstream", f"db:{ADDRESS}:8500"), "Address already in use"),
    ],
)
def test_mistakes_are_one_line(host: Host, words: tuple[str, ...], error: str) -> None:
    done = host.run("consulpy", "connect", "proxy", "-http-addr", HTTP, *words, check=False)
    assert (done.returncode, error in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


def test_an_id_goes_before_the_search_for_a_sidecar(host: Host, echo: Echo) -> None:
    """As with Consul's `-proxy-id` and `-sidecar-for` together."""
    words = ("-http-addr", HTTP, "-proxy-id", "first", "-sidecar-for", "nobody")
    proxy = host.start("both", "consulpy", "connect", "proxy", *words)
    eventually(lambda: "Proxy ID: first" in proxy.output, "the id")
    assert proxy.process.poll() is None


@pytest.mark.parametrize(
    ("service", "gateway", "error"),
    [
        ("a/b/c", "g", "Invalid service name: target can contain at most one '/'"),
        ("a", "b/c/d", "Invalid ingress gateway name: target can contain at most one '/'"),
    ],
)
def test_expose_refuses_names_that_are_none(host: Host, service: str, gateway: str, error: str) -> None:
    words = ("-http-addr", HTTP, "-service", service, "-ingress-gateway", gateway, "-port", "8080")
    answers = [host.run(program, "connect", "expose", *words, check=False) for program in ("consul", "consulpy")]
    assert [(done.returncode, done.stdout, done.stderr) for done in answers] == [(1, "", error + "\n")] * 2
