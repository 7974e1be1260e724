"""Servers and clients of both programs with Connect: chains, defaults, lists of the mesh, and proxies through them."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

SERVER, CLIENT = "127.86.6.1", "127.86.6.2"
PAIRS = [("consulpy", "consul"), ("consul", "consulpy"), ("consulpy", "consulpy")]


def start(host: Host, program: str, name: str, address: str, **more: Any) -> None:
    config: dict[str, Any] = {
        "node_name": name,
        "bind_addr": address,
        "client_addr": address,
        "data_dir": f"data-{name}",
        "performance": {"raft_multiplier": 1},
        "connect": {"enabled": True},
        "enable_central_service_config": True,
    }
    (host.directory / f"{name}.json").write_text(json.dumps(config | more))
    host.start(name, program, "agent", "-config-file", f"{name}.json")


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "-".join(pair))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, str, str]]:
    """A server of one program, a client agent of the other."""
    server, client = request.param
    with hosts(tmp_path_factory.mktemp("mixed"), None) as (host,):
        start(host, server, "server", SERVER, server=True, bootstrap_expect=1)
        start(host, client, "client", CLIENT, retry_join=[SERVER], retry_interval="1s")
        eventually(lambda: ask(f"{CLIENT}:8500/v1/connect/ca/roots")["TrustDomain"], "roots through the client")
        yield host, server, client


def send(address: str, method: str, path: str, body: Any = None) -> Any:
    return ask(f"{address}:8500{path}", method, json.dumps(body).encode() if body is not None else None)


def test_a_chain_is_the_same_through_the_client(pair: tuple[Host, str, str]) -> None:
    """Entries are written at the client; the chain is asked at both, and with overrides."""
    send(CLIENT, "PUT", "/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}})
    splits = [{"Weight": 33.33}, {"Weight": 66.67, "Service": "b", "ServiceSubset": "v1"}]
    with pytest.raises(ValueError, match='service "b" does not have a subset named "v1"'):
        send(CLIENT, "PUT", "/v1/config", {"Kind": "service-splitter", "Name": "a", "Splits": splits})
    subsets = {"v1": {"Filter": "Service.Meta.v == 1"}}
    send(CLIENT, "PUT", "/v1/config", {"Kind": "service-resolver", "Name": "b", "Subsets": subsets})
    send(CLIENT, "PUT", "/v1/config", {"Kind": "service-splitter", "Name": "a", "Splits": splits})
    chains = [ask(f"{each}:8500/v1/discovery-chain/a") for each in (SERVER, CLIENT)]
    assert chains[0] == chains[1]
    shown = chains[0]["Chain"]["Nodes"]["splitter:a.default"]["Splits"]
    assert [each["Weight"] for each in shown] == [33.33, 66.67]
    override = {"OverrideProtocol": "tcp"}
    assert send(CLIENT, "POST", "/v1/discovery-chain/a", override)["Chain"]["CustomizationHash"] == "96f2c150"
    assert ask(f"{CLIENT}:8500/v1/discovery-chain/a?cached") == chains[0]
    for kind, name in (("service-splitter", "a"), ("service-resolver", "b"), ("proxy-defaults", "global")):
        send(CLIENT, "DELETE", f"/v1/config/{kind}/{name}")


def test_a_sidecar_has_the_servers_defaults_and_is_in_the_lists_of_the_mesh(pair: tuple[Host, str, str]) -> None:
    entry: dict[str, Any] = {"Kind": "proxy-defaults", "Name": "global", "Config": {"seen": 1, "deep": {"a": 1.5}}}
    send(SERVER, "PUT", "/v1/config", entry)
    send(SERVER, "PUT", "/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
    body = {"Name": "web", "Port": 80, "Connect": {"SidecarService": {}}}
    send(CLIENT, "PUT", "/v1/agent/service/register", body)
    expected = {"seen": 1, "deep": {"a": 1.5}, "protocol": "http"}
    assert ask(f"{CLIENT}:8500/v1/agent/service/web-sidecar-proxy")["Proxy"]["Config"] == expected
    found = eventually(lambda: ask(f"{SERVER}:8500/v1/health/connect/web"), "the sidecar in the catalog")
    assert (found[0]["Service"]["Port"], found[0]["Service"]["Proxy"]["Config"]) == (21000, expected)
    send(SERVER, "PUT", "/v1/config", entry | {"Config": {"seen": 2}})
    eventually(
        lambda: ask(f"{SERVER}:8500/v1/catalog/connect/web")[0]["ServiceProxy"]["Config"]["seen"] == 2,
        "the changed defaults reach the catalog",
    )
    send(CLIENT, "PUT", "/v1/agent/service/deregister/web")
    for kind, name in (("service-defaults", "web"), ("proxy-defaults", "global")):
        send(SERVER, "DELETE", f"/v1/config/{kind}/{name}")


@pytest.mark.parametrize("program", ["consulpy", "consul"])
def test_a_proxy_of_either_program_is_served_by_both_agents(pair: tuple[Host, str, str], program: str) -> None:
    """The server's agent stands before the service, the client's before its user."""
    host, *_ = pair
    listener = socket.create_server((SERVER, 0))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    service = ("-service", "db", "-service-addr", f"{SERVER}:{listener.getsockname()[1]}")
    options = ("connect", "proxy", "-http-addr")
    behind = host.start(
        "behind", program, *options, f"{SERVER}:8500", *service, "-listen", f"{SERVER}:19000", "-register"
    )
    front = host.start(
        "front", program, *options, f"{CLIENT}:8500", "-service", "web", "-upstream", f"db:{CLIENT}:19100"
    )
    eventually(lambda: say() == b"HELLO", "bytes pass")
    deny = {"SourceName": "web", "DestinationName": "db", "Action": "deny"}
    intention = send(CLIENT, "POST", "/v1/connect/intentions", deny)["ID"]
    eventually(lambda: say() == b"", "the intention is enforced")
    send(CLIENT, "DELETE", f"/v1/connect/intentions/{intention}")
    eventually(lambda: say() == b"HELLO", "and gone")
    front.terminate()
    assert behind.terminate() == 0
    listener.close()
    eventually(lambda: not ask(f"{SERVER}:8500/v1/health/connect/db"), "its registration is gone")


def serve(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with closing(connection), suppress(OSError):
                while data := connection.recv(65536):
                    connection.sendall(data.upper())


def say() -> bytes:
    with socket.create_connection((CLIENT, 19100), 5) as connection, suppress(OSError):
        connection.settimeout(10)
        connection.sendall(b"hello")
        return connection.recv(100)
    return b""
