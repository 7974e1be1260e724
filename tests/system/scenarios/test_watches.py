"""Watches of the configuration: a program and a URL get each new result, once; a reload changes which."""

import http.server
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consulpy.tls.authority import create_authority, create_certificate
from tests.fakes.http_server import serving
from tests.harness.effort import some
from tests.peers.programs import ask, eventually, hosts

ADDRESS = "127.81.1.1"
HTTP = f"{ADDRESS}:8500"


@pytest.fixture
def calls() -> Iterator[tuple[int, list[tuple[str, str, Any]]]]:
    """A web server's port, and (method, index, body) of each request that it got."""
    got: list[tuple[str, str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.command, self.headers["X-Consul-Index"], json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((ADDRESS, 0), Handler)
    with serving(server):
        yield server.server_port, got


def test_handlers_run_once_for_each_change(tmp_path: Path, calls: tuple[int, list[tuple[str, str, Any]]]) -> None:
    port, got = calls
    lines = tmp_path / "lines"
    script = {"type": "key", "key": "a", "args": ["sh", "-c", f"echo $CONSUL_INDEX $(cat) >> {lines}"]}
    url = {
        "type": "service",
        "service": "web",
        "handler_type": "http",
        "http_handler_config": {"path": f"http://{ADDRESS}:{port}/hook", "method": "PUT", "timeout": "5s"},
    }
    file = tmp_path / "watches.json"
    file.write_text(json.dumps({"watches": [script, url]}))
    with hosts(tmp_path, None) as (host,):
        flags = ["-bind", ADDRESS, "-client", ADDRESS, "-config-file", str(file)]
        host.start("agent", "consulpy", "agent", "-dev", *flags)
        eventually(lambda: ask(f"{HTTP}/v1/status/leader"), "it leads")
        eventually(lambda: lines.exists() and lines.read_text().split()[-1] == "null", "there is no key")
        ask(f"{HTTP}/v1/kv/a", "PUT", b"one")
        eventually(lambda: '"Value":"b25l"' in lines.read_text(), "its value")
        ask(f"{HTTP}/v1/kv/other", "PUT", b"x")
        ask(f"{HTTP}/v1/agent/service/register", "PUT", b'{"Name": "web", "Port": 80}')
        eventually(lambda: got and got[-1][2], "the service came")
        method, index, (row,) = got[-1]
        assert (method, row["Service"]["Port"]) == ("PUT", 80)
        assert int(index) > 0
        assert len(lines.read_text().splitlines()) == 2

        file.write_text(json.dumps({"watches": [{**script, "key": "other"}]}))
        ask(f"{HTTP}/v1/agent/reload", "PUT")
        eventually(lambda: '"Key":"other"' in lines.read_text(), "the new watch runs")
        ask(f"{HTTP}/v1/kv/a", "PUT", b"two")
        ask(f"{HTTP}/v1/kv/other", "PUT", b"y")
        eventually(lambda: '"Value":"eQ=="' in lines.read_text(), "its change is seen")
        assert "dHdv" not in lines.read_text()

        wrong = {"watches": [{"type": "key", "args": ["true"]}], "service": {"name": "half", "port": 1}}
        file.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match="watches: key: Must specify a single key to watch"):
            ask(f"{HTTP}/v1/agent/reload", "PUT")
        assert "half" not in ask(f"{HTTP}/v1/agent/services")


def test_a_handler_that_fails_does_not_end_its_watch(tmp_path: Path) -> None:
    nobody = f"http://{ADDRESS}:1/"
    watch = {"type": "key", "key": "a", "handler_type": "http", "http_handler_config": {"path": nobody}}
    file = tmp_path / "watches.json"
    file.write_text(json.dumps({"watches": [watch]}))
    with hosts(tmp_path, None) as (host,):
        flags = ["-bind", ADDRESS, "-client", ADDRESS, "-config-file", str(file)]
        program = host.start("agent", "consulpy", "agent", "-dev", *flags)
        failure = "watch key: its handler: Connection was refused"
        eventually(lambda: program.output.count(failure) == 1, "the first time")
        ask(f"{HTTP}/v1/kv/a", "PUT", b"x")
        eventually(lambda: program.output.count(failure) == 2, "the second")


@pytest.mark.parametrize(
    ("watch", "why"),
    some(
        [
            (
                {"type": "nodes", "args": ["true"], "off": True},
                "watches need the HTTP API of this agent: ports.http and ports.https are off",
            ),
            ({"type": "nope", "args": ["true"]}, "Unsupported watch type: nope"),
            ({"type": "nodes"}, "a watch needs args"),
            ({"type": "nodes", "args": ["true"], "handler": "true"}, "only one of args and handler"),
            ({"type": "nodes", "args": ["true"], "colour": "red"}, "invalid parameters: colour"),
            ({"type": "nodes", "handler_type": "ftp"}, "handler type 'ftp' not recognized"),
            ({"type": "nodes", "http_handler_config": {"path": "nowhere"}}, "path must be a URL"),
        ]
    ),
)
def test_what_could_never_run_is_refused_at_the_start(tmp_path: Path, watch: dict[str, Any], why: str) -> None:
    file = tmp_path / "watches.json"
    off = {"ports": {"http": -1}} if watch.pop("off", False) else {}
    file.write_text(json.dumps({"watches": [watch], **off}))
    with hosts(tmp_path, None) as (host,):
        flags = ["-bind", ADDRESS, "-client", ADDRESS, "-config-file", str(file)]
        done = host.run("consulpy", "agent", "-dev", *flags, check=False)
        assert done.returncode == 1
        assert why in done.stdout + done.stderr


def test_the_agents_own_answers_are_watched_too(tmp_path: Path) -> None:
    """One by its hash, one by its index."""
    lines, roots = tmp_path / "lines", tmp_path / "roots"
    ours = {"type": "agent_service", "service_id": "web", "args": ["sh", "-c", f"cat >> {lines}"]}
    ca = {"type": "connect_roots", "args": ["sh", "-c", f"echo $CONSUL_INDEX $(cat) >> {roots}"]}
    file = tmp_path / "watches.json"
    file.write_text(json.dumps({"watches": [ours, ca], "service": {"name": "web", "port": 1}}))
    with hosts(tmp_path, None) as (host,):
        flags = ["-bind", ADDRESS, "-client", ADDRESS, "-config-file", str(file)]
        host.start("agent", "consulpy", "agent", "-dev", *flags)
        eventually(lambda: lines.exists() and '"Port":1,' in lines.read_text(), "the service")
        eventually(lambda: roots.exists() and int(roots.read_text().split()[0]) > 0, "the roots")
        assert "BEGIN CERTIFICATE" in roots.read_text()
        ask(f"{HTTP}/v1/agent/service/register", "PUT", b'{"Name": "web", "Port": 2}')
        eventually(lambda: '"Port":2,' in lines.read_text(), "its change")
        assert len(lines.read_text().splitlines()) == 2


def test_a_hook_may_be_https(tmp_path: Path) -> None:
    """Its certificate is checked, unless the configuration says that it is not."""
    got: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    given = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(given["cert_file"], given["key_file"])
    server = http.server.ThreadingHTTPServer((ADDRESS, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    file = tmp_path / "watches.json"

    def watch(**more: bool) -> None:
        hook = {"path": f"https://{ADDRESS}:{server.server_port}/", **more}
        file.write_text(json.dumps({"watches": [{"type": "key", "key": "a", "http_handler_config": hook}]}))

    watch()
    with serving(server), hosts(tmp_path, None) as (host,):
        flags = ["-bind", ADDRESS, "-client", ADDRESS, "-config-file", str(file)]
        agent = host.start("agent", "consulpy", "agent", "-dev", *flags)
        eventually(lambda: "its handler: x509" in agent.output, "a certificate that nobody knows")
        assert got == []
        watch(tls_skip_verify=True)
        ask(f"{HTTP}/v1/agent/reload", "PUT")
        eventually(lambda: got == [None], "it is called")


def certificates(folder: Path) -> dict[str, str]:
    """An authority, and a certificate that does not name the address where the agent listens."""
    ca = create_authority(10)
    pair = create_certificate(ca, "server", "server.dc1.consul", days=10)
    files = {"ca_file": ca.certificate, "cert_file": pair.certificate, "key_file": pair.key}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: str(folder / name) for name in files}


@pytest.mark.parametrize("verify", [True, False])
def test_an_agent_finds_its_own_api_over_https(tmp_path: Path, verify: bool) -> None:
    given: dict[str, Any] = certificates(tmp_path)
    if not verify:
        del given["ca_file"]  # what it shows itself is trusted all the same
    given |= {"ports": {"http": -1, "https": 8501}, "verify_incoming_https": verify}
    finds_its_own_api(tmp_path, given)


def test_an_agent_finds_its_own_api_over_a_unix_socket(tmp_path: Path) -> None:
    finds_its_own_api(tmp_path, {"addresses": {"http": f"unix://{tmp_path}/http.sock"}, "ports": {"http": -1}})


def finds_its_own_api(tmp_path: Path, given: dict[str, Any]) -> None:
    """The watch's handler gets the node."""
    seen = tmp_path / "seen"
    given["watches"] = [{"type": "nodes", "args": ["sh", "-c", f"cat > {seen}"]}]
    (tmp_path / "agent.json").write_text(json.dumps(given))
    with hosts(tmp_path, None) as (host,):
        flags = ["-bind", ADDRESS, "-client", ADDRESS, "-node", "one", "-config-file", str(tmp_path / "agent.json")]
        host.start("agent", "consulpy", "agent", "-dev", *flags)
        eventually(lambda: json.loads(seen.read_text())[0]["Node"] == "one", "the handler ran")
