"""gRPC checks against the server that people run (grpcio with grpcio-health-checking), plain and over TLS."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.dial import Dialer
from consulpy.checks.grpc import GrpcProbe
from consulpy.checks.result import CheckFailed, Result
from consulpy.structs.definition import CheckType
from consulpy.tls.authority import create_authority, create_certificate

grpc = pytest.importorskip("grpc")
health = pytest.importorskip("grpc_health.v1.health")
health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
health_pb2_grpc = pytest.importorskip("grpc_health.v1.health_pb2_grpc")

reactor: Any = _reactor
HOST = "127.37.0.5"
STATUS = health_pb2.HealthCheckResponse


@dataclass(frozen=True)
class Servers:
    """Ports of the servers: `plain`, over `tls`, and `bare` without the health service. `ca`: the CA certificate."""

    plain: str
    tls: str
    bare: str
    ca: bytes


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Services: `ok`, `sick`, `lost` (unknown to itself), a name with a slash and one beyond ASCII."""
    servicer = health.HealthServicer()
    for name in ("", "ok", "a/b", "é"):
        servicer.set(name, STATUS.SERVING)
    servicer.set("sick", STATUS.NOT_SERVING)
    servicer.set("lost", STATUS.SERVICE_UNKNOWN)
    authority = create_authority(30)
    pair = create_certificate(authority, "server", "health", addresses=[HOST], days=30)
    credentials = grpc.ssl_server_credentials([(pair.key, pair.certificate)])
    server, bare = grpc.server(ThreadPoolExecutor(4)), grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    plain = server.add_insecure_port(f"{HOST}:0")
    tls = server.add_secure_port(f"{HOST}:0", credentials)
    without = bare.add_insecure_port(f"{HOST}:0")
    server.start()
    bare.start()
    yield Servers(f"{HOST}:{plain}", f"{HOST}:{tls}", f"{HOST}:{without}", authority.certificate)
    server.stop(None)
    bare.stop(None)


async def outcome(target: str, own: AgentTls | None = None, **fields: Any) -> Result:
    try:
        return await GrpcProbe(Dialer(reactor), CheckType(grpc=target, **fields), 5.0, lambda: own).run()
    except CheckFailed as error:
        return error.result()


@pytest.mark.parametrize("service", ["", "/", "/ok", "/a/b", "/é"])
@pytest_twisted.ensureDeferred
async def test_a_serving_service_passes(servers: Servers, service: str) -> None:
    target = servers.plain + service
    assert await outcome(target) == Result("passing", f"gRPC check {target}: success")


@pytest.mark.parametrize(
    ("service", "output"),
    [
        ("/sick", "gRPC application didn't report service healthy"),
        ("/lost", "gRPC application didn't report service healthy"),
        ("/none", "rpc error: code = NotFound desc = "),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_service_that_is_not_serving_is_critical(servers: Servers, service: str, output: str) -> None:
    assert await outcome(servers.plain + service) == Result("critical", output)


@pytest_twisted.ensureDeferred
async def test_a_server_without_the_health_service(servers: Servers) -> None:
    result = await outcome(servers.bare)
    assert result == Result("critical", "rpc error: code = Unimplemented desc = Method not found!")


@pytest_twisted.ensureDeferred
async def test_over_tls(servers: Servers) -> None:
    """It asks for HTTP/2 by ALPN, without which such a server hangs up."""
    success = Result("passing", f"gRPC check {servers.tls}: success")
    assert await outcome(servers.tls, grpc_use_tls=True, tls_skip_verify=True) == success
    assert await outcome(servers.tls, AgentTls((servers.ca,)), grpc_use_tls=True) == success
    unknown = "transport: authentication handshake failed: x509: certificate signed by unknown authority"
    assert unknown in (await outcome(servers.tls, grpc_use_tls=True)).output
    assert (await outcome(servers.plain, grpc_use_tls=True)).output == (
        'rpc error: code = Unavailable desc = connection error: desc = "transport: authentication handshake failed: '
        'tls: first record does not look like a TLS handshake"'
    )
