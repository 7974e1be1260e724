"""/v1/internal/ui/* at client agents, real and ours, before a real server and before ours: the same bytes."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.peers.pair import OURS, REAL, Agent, agents
from tests.peers.programs import eventually
from tests.system.ui.test_internal_ui import fill

pytestmark = pytest.mark.peers

#: (whose server, whose client)
KINDS = [(server, client) for server in ("real", "ours") for client in ("real", "ours")]
IDS = {"real": "11111111-2222-3333-4444-555555555561", "ours": "11111111-2222-3333-4444-555555555562"}
_ADDRESS = re.compile(rb"127\.38\.[0-9]+\.[0-9]+")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Agent]]:
    """Two datacenters with the same catalog: a server and two clients each."""
    directory: Path = tmp_path_factory.mktemp("clients")
    with agents(directory, real="127.38.3.1", ours="127.38.4.1") as servers, ExitStack() as stack:
        found = {}
        for place, (server, kind) in zip((3, 3, 4, 4), KINDS, strict=True):
            address = f"127.38.{place}.{2 if kind == 'real' else 3}"
            program = REAL if kind == "real" else OURS
            flags = ("-node", f"{kind}-client", "-node-id", IDS[kind], "-retry-join", f"127.38.{place}.1")
            found[server, kind] = Agent(program, address, directory, *flags, "-retry-interval", "1s")
            stack.callback(found[server, kind].close)
        fill(servers)
        for server in servers:
            for kind in IDS:  # the last thing that an agent writes about itself
                path = f"/v1/catalog/node/{kind}-client"
                eventually(lambda server=server, path=path: b'"wan_ipv4"' in server.ask(path).body, "it is registered")
        for client in found.values():
            eventually(lambda client=client: client.ask("/v1/status/leader").body.strip() != b'""', "it has a server")
        yield found


@pytest.mark.parametrize(
    "path",
    [
        "nodes",
        "nodes?stale",
        "nodes?dc=nowhere",
        "nodes?filter=nonsense",
        "node/n1",
        "node/db",
        "node/nobody",
        "node/",
        "services",
        "gateway-services-nodes/ig",
        "gateway-services-nodes/tg",
        "gateway-services-nodes/nobody",
        "gateway-services-nodes/",
    ],
)
def test_the_same_bytes(clients: dict[tuple[str, str], Agent], path: str) -> None:
    shown = {}
    for kind, client in clients.items():
        status, headers, body = client.ask(f"/v1/internal/ui/{path}").comparable(client.address)
        shown[kind] = status, headers, _ADDRESS.sub(b"ADDRESS", body)
    assert all(each == shown["real", "real"] for each in shown.values()), shown
