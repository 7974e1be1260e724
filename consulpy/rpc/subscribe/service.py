"""The method `subscribe.StateChangeSubscription/Subscribe`: from a call to the feed of its service."""

from typing import TYPE_CHECKING, Final

from consulpy.errors import RPCError, WireError
from consulpy.rpc.grpc.call import Call
from consulpy.rpc.grpc.connection import unimplemented
from consulpy.rpc.grpc.framing import CallError, Code, names_in
from consulpy.rpc.subscribe.feed import Feed
from consulpy.rpc.subscribe.messages import SubscribeRequest, Topic, decode_request
from consulpy.structs.newer_selectors import foreign_selector
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import ServiceRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

SERVICE: Final = "subscribe.StateChangeSubscription"
METHOD: Final = "Subscribe"

_Subject = tuple[int, str, str, str]


class Subscriptions:
    """The feeds of a server, one for each topic, service, token and datacenter with a subscription."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._feeds: dict[_Subject, Feed] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    def serve(self, call: Call) -> None:
        """Start serving a call. Raises `CallError`."""
        service, method = names_in(call.path)
        if (service, method) != (SERVICE, METHOD):
            raise unimplemented(service, method, is_service_known=service == SERVICE)
        try:
            request = decode_request(call.request())
        except WireError as error:
            raise CallError(Code.INTERNAL, f"grpc: error unmarshalling request: {error}") from None
        _check(request)
        if self._server.request_limits is not None:
            try:
                self._server.request_limits.check(call.path)
            except RPCError as error:
                raise CallError(Code.RESOURCE_EXHAUSTED, str(error)) from None
        self._server.metrics.incr("grpc.server.stream.count")
        feed = self._feed(request)
        call.on_end = lambda: feed.remove(call)
        feed.add(call, request.index)

    def _feed(self, request: SubscribeRequest) -> Feed:
        datacenter = request.datacenter or self._server.datacenter
        subject = (request.topic, request.key.lower(), request.token, datacenter)
        feed = self._feeds.get(subject)
        if feed is None:
            query = ServiceRequest(
                datacenter=datacenter,
                service_name=request.key,
                connect=request.topic == Topic.SERVICE_HEALTH_CONNECT,
                options=QueryOptions(token=request.token, allow_stale=True),
            )

            def over() -> None:
                if self._feeds.get(subject) is feed:
                    del self._feeds[subject]

            feed = self._feeds[subject] = Feed(self._server, query, over)
            self._server.clock.callLater(0, feed.start)  # when its first subscriber is there
        return feed


def _check(request: SubscribeRequest) -> None:
    """Refuse what is not served. Raises `CallError`."""
    if request.topic not in Topic._value2member_map_:
        raise CallError(Code.INVALID_ARGUMENT, f"unknown topic {request.topic}: only the health of services is served")
    if request.is_wildcard or not request.key:
        raise CallError(Code.INVALID_ARGUMENT, "a subscription to the health of a service needs its name (Key)")
    selectors = {
        b"PeerName": request.peer_name.encode(),
        b"Partition": request.partition.encode(),
        b"Namespace": request.namespace.encode(),
    }
    if foreign := foreign_selector(selectors):
        raise CallError(Code.INVALID_ARGUMENT, f"Invalid request: {foreign}")
