"""Docker checks: a program run in a container through Docker's HTTP API (exec create, start, inspect).

Exit code 0 is passing, 1 warning, else critical, as for scripts. Docker's address has the form of `DOCKER_HOST`:
`unix:///path` or `tcp://host:port`. Unlike in Consul the output includes stderr, and a run has a timeout.
"""

import json
from io import BytesIO
from typing import Any, Final
from urllib.parse import quote, quote_plus

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, FileBodyProducer, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer

from consulpy.checks.dial import Dialer, DialError, abort, silence, split_host_port
from consulpy.checks.failure import reason
from consulpy.checks.http_body import BodyTail
from consulpy.checks.result import CheckFailed, Result, Tail, seconds_text
from consulpy.codec.strict_json import parse
from consulpy.structs.check import CRITICAL, PASSING, WARNING
from consulpy.structs.definition import CheckType
from consulpy.tls.connecting import connect_reason

#: Bytes read of a response of Docker's API (not of the program's output).
_RESPONSE_MAX_BYTES: Final = 1 << 20
_FRAME_HEADER_BYTES: Final = 8
_STOPPED: Final = 409


class DockerProbe:
    """Runs the `script_args` of `kind` in its container."""

    def __init__(self, reactor: Any, dialer: Dialer, host: str, kind: CheckType, timeout_s: float) -> None:
        self._reactor = reactor
        self._dialer = dialer
        self._host = host
        self._kind = kind
        self.timeout_s = timeout_s
        self._output = Tail(kind.output_max_size)

    def check(self) -> None:
        """See `Probe.check`. Raises `CheckFailed` for an invalid address of Docker."""
        self._endpoint()

    def _endpoint(self) -> IStreamClientEndpoint:
        protocol, found, address = self._host.partition("://")
        if not found or protocol not in ("unix", "tcp"):
            raise CheckFailed(f"unable to parse docker host `{self._host}`")
        if protocol == "unix":
            return UNIXClientEndpoint(self._reactor, address)
        host, port = split_host_port(address.partition("/")[0])
        endpoint: IStreamClientEndpoint = self._dialer.endpoint(host, port, self.timeout_s + 1)
        return endpoint

    def run(self) -> Deferred[Result]:
        """See `Probe.run`."""
        self._output = Tail(self._kind.output_max_size)
        return Deferred.fromCoroutine(self._run())

    def timed_out(self) -> Result:
        """See `Probe.timed_out`: with the output so far."""
        text = f"Timed out ({seconds_text(self.timeout_s)}) running check"
        output = self._output.captured
        return Result(CRITICAL, f"{text}\n\n{output}" if output else text)

    async def _run(self) -> Result:
        container = self._kind.docker_container_id
        wanted = {
            "AttachStdin": False,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": False,
            "Cmd": self._kind.script_args,
        }
        path = f"/containers/{quote_plus(container, errors='replace')}/exec"
        created = await self._json("create", "POST", path, wanted, 201)
        exec_id = quote(str(created.get("Id", "")), "")
        frames = FramedTail(self._output)
        await self._request("start", "POST", f"/exec/{exec_id}/start", {"Detach": False, "Tty": False}, 200, frames)
        inspected = await self._json("inspect", "GET", f"/exec/{exec_id}/json", None, 200)
        status = {0: PASSING, 1: WARNING}.get(inspected.get("ExitCode", -1), CRITICAL)
        return Result(status, self._output.captured)

    async def _json(self, step: str, method: str, path: str, body: Any, wanted: int) -> dict[str, Any]:
        tail = Tail(_RESPONSE_MAX_BYTES)
        await self._request(step, method, path, body, wanted, BodyTail(tail))
        try:
            answer = parse(tail.data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            container = self._kind.docker_container_id
            raise CheckFailed(f"{step} exec response for container {container} cannot be parsed")
        return answer

    async def _request(self, step: str, method: str, path: str, body: Any, wanted: int, output: BodyTail) -> None:
        what = f"{step} exec failed for container {self._kind.docker_container_id}"
        address = self._host.partition("://")[2]
        shown = f'{method.capitalize()} "http://{quote(address, ":") if address.startswith("/") else address}{path}"'
        producer = None if body is None else FileBodyProducer(BytesIO(json.dumps(body).encode()))
        headers = Headers({"Content-Type": ["application/json"], "Host": ["docker"]})
        connection = SingleEndpoint(self._endpoint())
        agent = Agent.usingEndpointFactory(self._reactor, connection)
        try:
            response = await agent.request(method.encode(), b"http://docker" + path.encode(), headers, producer)
            if response.code != wanted:
                output = BodyTail(Tail(_RESPONSE_MAX_BYTES))
            await read(response, connection, output)
        except CancelledError:
            raise
        except DialError as error:
            raise CheckFailed(f"{what}: {shown}: {error}") from None
        except ConnectError as error:
            raise CheckFailed(f"{what}: {shown}: dial unix {address}: {connect_reason(error)}") from None
        except Exception as error:
            raise CheckFailed(f"{what}: {shown}: {reason(error)}") from None
        if response.code != wanted:
            raise CheckFailed(self._status_error(step, response.code, output.tail.text))

    def _status_error(self, step: str, code: int, body: str) -> str:
        """The error text for an unexpected status code."""
        container = self._kind.docker_container_id
        if code == _STOPPED:
            return f"{step} exec failed since container {container} is paused or stopped"
        if code == 404 and step == "create":
            return f"create exec failed for unknown container {container}"
        return f"{step} exec failed for container {container} with status {code}: {body}"


class FramedTail(BodyTail):
    """Decodes Docker's frames: stream number, three zeros, length (u32), data. Both streams go to `tail`."""

    def __init__(self, tail: Tail) -> None:
        super().__init__(tail)
        self._header = b""
        self._left = 0

    def write(self, data: bytes) -> bool:
        """See `BodyTail.write`."""
        while data:
            if self._left:
                part, data = data[: self._left], data[self._left :]
                self._left -= len(part)
                self.tail.write(part)
                continue
            missing = _FRAME_HEADER_BYTES - len(self._header)
            self._header, data = self._header + data[:missing], data[missing:]
            if len(self._header) == _FRAME_HEADER_BYTES:
                self._left, self._header = int.from_bytes(self._header[4:], "big"), b""
        return True


async def read(response: IResponse, connection: "SingleEndpoint", body: BodyTail) -> None:
    """Read the body of `response` into `body`, up to its end, its limit or an error; an error is ignored."""
    done: Deferred[None] = Deferred(lambda _: connection.abort())
    response.deliverBody(_Reader(body, connection, done))
    await done


class _Reader(Protocol):
    def __init__(self, body: BodyTail, connection: "SingleEndpoint", done: Deferred[None]) -> None:
        self._body = body
        self._connection = connection
        self._done = done

    def dataReceived(self, data: bytes) -> None:
        if not self._done.called and not self._body.write(data):
            self._done.callback(None)
            self._connection.abort()

    def connectionLost(self, reason: Failure = Failure(ResponseDone())) -> None:  # noqa: ARG002,B008 - Twisted's
        if not self._done.called:
            self._done.callback(None)


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class SingleEndpoint:
    """An endpoint factory for Twisted's HTTP client that always returns one endpoint; for one connection."""

    def __init__(self, endpoint: IStreamClientEndpoint | None) -> None:
        self._endpoint = endpoint
        self._protocol: Any = None

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: ARG002 - Twisted's interface
        """See `IAgentEndpointFactory`."""
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See `IStreamClientEndpoint`."""
        assert self._endpoint is not None
        silence(protocolFactory)
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting.addCallback(self._connected)

    def _connected(self, protocol: IProtocol) -> IProtocol:
        self._protocol = protocol
        return protocol

    def abort(self) -> None:
        """Reset the connection, if there is one."""
        if self._protocol is not None:
            abort(self._protocol)
