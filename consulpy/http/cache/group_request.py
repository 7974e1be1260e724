"""The request that a group of blocking queries makes itself, to answer all of its requests."""

from collections.abc import Callable

from consulpy.http.api.large_body import Parts, SpooledBody
from consulpy.http.fast_path import FastRequest, Serve
from consulpy.rpc.dependencies import DependencySet


class GroupRequest:
    """A request of a group itself, and its connection.

    `response`: None until it is ready; empty for a large one, as its requests take the full path. `dependencies`: those
    of the response.
    """

    peer = None

    def __init__(self, request: FastRequest, serve: Serve) -> None:
        self.response: bytes | None = None
        #: Called with the response, if it was not ready at once.
        self.on_ready: Callable[[], None] | None = None
        self.dependencies = request.dependencies = DependencySet()
        self._request = request
        request.is_internal = True
        request.begin(self, serve)

    def cancel(self) -> None:
        """End the work."""
        self.on_ready = None
        self._request.disconnected()

    def response_ready(self, response: bytes) -> None:
        """The whole response."""
        self.response = response
        if self.on_ready is not None:
            self.on_ready()

    def response_in_parts(self, head: bytes, body: Parts | SpooledBody) -> None:  # noqa: ARG002 - it is computed again
        """A large response."""
        self.response_ready(b"")
