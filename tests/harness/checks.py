"""Checks run once, on the real reactor."""

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from consulpy.checks.result import CheckFailed, Probe, Result

reactor: Any = _reactor
HOST = "127.37.0.3"


async def outcome(probe: Probe) -> Result:
    """As `IntervalCheck` would report it."""
    try:
        return await probe.run()
    except CheckFailed as error:
        return error.result()


class Echo(Resource):
    """Answers what was requested; `/slow` never, `/code/N` with that status, `/moved` and `/loop` with redirects."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def render(self, request: Any) -> Any:
        path = request.path.decode()
        if path == "/slow":
            return NOT_DONE_YET
        if path == "/moved":
            request.redirect(b"/ok")
            return b""
        if path == "/loop":
            request.redirect(b"/loop")
            return b""
        if path.startswith("/code/"):
            request.setResponseCode(int(path.removeprefix("/code/")))
            return b"said so"
        names = ("user-agent", "accept", "x-cf", "host")
        shown = [request.method.decode(), request.content.read().decode()]
        return " ".join(shown + [request.getHeader(name) or "-" for name in names]).encode()
