"""Services that come and go: registered over an agent's HTTP API, with TTL checks set by hand."""

import http.server
import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.http_server import serving
from tests.peers.programs import ask


def register(agent: str, name: str, number: int, address: str, port: int, *tags: str) -> str:
    """Register a service with a passing TTL check; its ID."""
    service = f"{name}-{number}"
    check = {"CheckID": f"ttl-{service}", "TTL": "10m", "Status": "passing"}
    body = {"ID": service, "Name": name, "Address": address, "Port": port, "Tags": list(tags), "Check": check}
    ask(f"{agent}/v1/agent/service/register", "PUT", json.dumps(body).encode())
    return service


def deregister(agent: str, service: str) -> None:
    """Take the service away."""
    ask(f"{agent}/v1/agent/service/deregister/{service}", "PUT")


def set_status(agent: str, service: str, status: str) -> None:
    """Say how the service is: pass, warn or fail."""
    ask(f"{agent}/v1/agent/check/{status}/ttl-{service}", "PUT")


@contextmanager
def web(address: str, says: str) -> Iterator[int]:
    """A web server that answers everything with `says`; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(says)))
            self.end_headers()
            self.wfile.write(says.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    with serving(server):
        yield server.server_port
