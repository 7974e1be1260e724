"""Docker checks against real sockets; texts as a real agent gave them."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.web.resource import Resource
from twisted.web.server import Site

from consulpy.checks.dial import Dialer
from consulpy.checks.docker import DockerProbe, FramedTail
from consulpy.checks.result import Result, Tail
from consulpy.structs.definition import CheckType
from tests.harness.checks import HOST, outcome, reactor


class Docker(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def render(self, request: Any) -> Any:
        path, body = request.path.decode(), request.content.read()
        if path == "/containers/gone/exec":
            request.setResponseCode(404)
            return b'{"message":"No such container: gone"}'
        if path in ("/containers/stopped/exec", "/containers/broken/exec"):
            request.setResponseCode(409 if "stopped" in path else 500)
            return b"oh"
        if path.endswith("/exec"):
            assert path in ("/containers/c/exec", "/containers/a%2F..%2Fb+c%3Fd/exec")
            request.setResponseCode(201)
            return json.dumps({"Id": json.loads(body)["Cmd"][0]}).encode()
        if path.endswith("/start"):
            return b"".join(bytes([number, 0, 0, 0]) + struct.pack(">I", 3) + data for number, data in OUTPUT)
        return json.dumps({"ExitCode": int(path.split("/")[2])}).encode()


OUTPUT = ((1, b"out"), (2, b"err"))


@pytest.mark.parametrize(
    ("container", "code", "result"),
    [
        ("c", "0", Result("passing", "outerr")),
        ("c", "1", Result("warning", "outerr")),
        ("c", "7", Result("critical", "outerr")),
        ("stopped", "0", Result("critical", "create exec failed since container stopped is paused or stopped")),
        ("a/../b c?d", "0", Result("passing", "outerr")),
        ("broken", "0", Result("critical", "create exec failed for container broken with status 500: oh")),
        (
            "gone",
            "0",
            Result(
                "critical",
                "create exec failed for unknown container gone",
            ),
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_docker_runs_inside_the_container(tmp_path: Path, container: str, code: str, result: Result) -> None:
    path = str(tmp_path / "docker.sock")
    port = reactor.listenUNIX(path, Site(Docker()))
    try:
        kind = CheckType(docker_container_id=container, script_args=[code])
        assert await outcome(DockerProbe(reactor, Dialer(reactor), f"unix://{path}", kind, 5)) == result
    finally:
        await port.stopListening()


def test_docker_frames_are_decoded_from_any_fragments() -> None:
    stream = b"".join(bytes([kind, 0, 0, 0]) + struct.pack(">I", len(data)) + data for kind, data in OUTPUT) + b"\1"
    for size in range(1, len(stream) + 1):
        frames = FramedTail(Tail(100))
        for at in range(0, len(stream), size):
            assert frames.write(stream[at : at + size])
        assert frames.tail.data == b"outerr"


@pytest_twisted.ensureDeferred
async def test_docker_over_tcp(listen: Callable[[Any], int]) -> None:
    kind = CheckType(docker_container_id="c", script_args=["1"])
    place = f"tcp://{HOST}:{listen(Site(Docker()))}"
    assert await outcome(DockerProbe(reactor, Dialer(reactor), place, kind, 5)) == Result("warning", "outerr")


@pytest_twisted.ensureDeferred
async def test_docker_not_running() -> None:
    kind = CheckType(docker_container_id="x", script_args=["true"])
    result = await outcome(DockerProbe(reactor, Dialer(reactor), "unix:///var/run/no-docker.sock", kind, 5))
    assert result.output == (
        'create exec failed for container x: Post "http://%2Fvar%2Frun%2Fno-docker.sock/containers/x/exec": '
        "dial unix /var/run/no-docker.sock: connect: no such file or directory"
    )
