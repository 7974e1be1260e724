"""Docker checks: a program run inside a container through Docker's socket (its HTTP API: exec create, start, inspect).

Exit code 0 passes, 1 warns, else critical, as for scripts.
"""

import json
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI, Agent, FileBodyProducer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from consulpy.checks.dial import hush, why
from consulpy.checks.http import Body, read
from consulpy.checks.result import CheckFailed, Result, Tail, seconds_text
from consulpy.structs.check import CRITICAL, PASSING, WARNING
from consulpy.structs.definition import CheckType

#: How much of an answer that is not the program's output is read, in bytes.
_ANSWER_MAX_BYTES: Final = 1 << 20
_FRAME_HEADER_BYTES: Final = 8


class DockerProbe:
    """Runs the arguments of `kind` in its container."""

    def __init__(self, reactor: Any, socket_path: str, kind: CheckType, timeout_s: float) -> None:
        self._agent = Agent.usingEndpointFactory(reactor, _Socket(reactor, socket_path))
        self._socket_path = socket_path
        self._kind = kind
        self.timeout_s = timeout_s

    def check(self) -> None:
        """Whether it can run shows only when it is run."""

    def run(self) -> Deferred[Result]:
        """Run the program once."""
        return Deferred.fromCoroutine(self._run())

    def timed_out(self) -> Result:
        """What is reported when a run was given up."""
        return Result(CRITICAL, f"Timed out ({seconds_text(self.timeout_s)}) running check")

    async def _run(self) -> Result:
        container = self._kind.docker_container_id
        wanted = {
            "AttachStdin": False,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": False,
            "Cmd": self._kind.script_args,
        }
        what = f"create exec failed for container {container}"
        created = await self._json(what, "POST", f"/containers/{container}/exec", wanted, (201,))
        exec_id = str(created.get("Id", ""))
        what = f"start exec failed for container {container}"
        raw = Tail(_ANSWER_MAX_BYTES)
        await self._request(what, "POST", f"/exec/{exec_id}/start", {"Detach": False, "Tty": False}, (200,), raw)
        output = Tail(self._kind.output_max_size)
        output.write(unframed(raw.data))
        what = f"inspect exec failed for container {container}"
        inspected = await self._json(what, "GET", f"/exec/{exec_id}/json", None, (200,))
        status = {0: PASSING, 1: WARNING}.get(inspected.get("ExitCode", -1), CRITICAL)
        return Result(status, output.captured)

    async def _json(self, what: str, method: str, path: str, body: Any, wanted: tuple[int, ...]) -> dict[str, Any]:
        tail = Tail(_ANSWER_MAX_BYTES)
        await self._request(what, method, path, body, wanted, tail)
        try:
            answer = json.loads(tail.data)
        except ValueError as error:
            raise CheckFailed(f"{what}: {error}") from None
        if not isinstance(answer, dict):
            raise CheckFailed(f"{what}: no JSON object")
        return answer

    async def _request(self, what: str, method: str, path: str, body: Any, wanted: tuple[int, ...], tail: Tail) -> None:
        shown = f'{method.capitalize()} "http://{self._socket_path.replace("/", "%2F")}{path}"'
        producer = None if body is None else FileBodyProducer(Body(json.dumps(body).encode()))
        headers = Headers({"Content-Type": ["application/json"], "Host": ["docker"]})
        try:
            response = await self._agent.request(method.encode(), b"http://docker" + path.encode(), headers, producer)
            await read(response, tail)
        except CancelledError:
            raise
        except ConnectError as error:
            raise CheckFailed(f"{what}: {shown}: dial unix {self._socket_path}: {why(error)}") from None
        except Exception as error:
            raise CheckFailed(f"{what}: {shown}: {error}") from None
        if response.code not in wanted:
            raise CheckFailed(f"{what} with status {response.code}: {tail.text}")


def unframed(stream: bytes) -> bytes:
    """The output inside Docker's frames: stream number, three zeros, length (u32), data."""
    out, at = b"", 0
    while at + _FRAME_HEADER_BYTES <= len(stream):
        size = int.from_bytes(stream[at + 4 : at + 8], "big")
        out += stream[at + 8 : at + 8 + size]
        at += 8 + size
    return out


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _Socket:
    """All URLs lead to Docker's socket."""

    def __init__(self, reactor: Any, path: str) -> None:
        self._endpoint = UNIXClientEndpoint(reactor, path)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: ARG002 - Twisted's interface
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        hush(protocolFactory)
        connecting: Deferred[IProtocol] = self._endpoint.connect(protocolFactory)
        return connecting
