"""Endpoints: from a request to the handler of its method, and from its result or error to the response."""

import gzip
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.codec.secrets import target_without_secrets
from consulpy.errors import RPCError
from consulpy.http.api import selectors
from consulpy.http.api.agent_rights import Rights, refused_unless_named, rights_of
from consulpy.http.api.extra_headers import DEFAULT_ACL_POLICY, RESULTS_FILTERED
from consulpy.http.api.large_body import (
    GZIP_LEVEL,
    LARGE_BYTES,
    Parts,
    Rendering,
    SpooledBody,
    is_large,
    json_parts,
    sliced,
)
from consulpy.http.api.params import token
from consulpy.http.api.refused import denied_headers, is_refusal
from consulpy.http.api.routing import (
    METHODS,
    BadQuery,
    BodyNeeded,
    Handler,
    HttpError,
    PlainError,
    Query,
    Request,
    Response,
)
from consulpy.http.api.streaming import Stream
from consulpy.http.api.write_response import body_of, finish, start, whole
from consulpy.log import Logger
from consulpy.rpc.acl.denied import Denied
from consulpy.rpc.cache.authorized_cache import AuthorizedCache
from consulpy.rpc.limits.rate_limit import EXCEEDED, RETRY_ELSEWHERE, RETRY_LATER

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_log = Logger()

#: Runs a long computation outside of the reactor's thread; a Deferred of its result.
InThread = Callable[[Callable[[], Any]], Deferred[Any]]
_DEFAULT_ACL_POLICY: Final = DEFAULT_ACL_POLICY.encode()
#: When a turn of the reactor has lasted this long, in seconds, further requests are served in the next turn.
TURN_MAX_S: Final = 0.03


class Endpoint:
    """The endpoint of a path: its handlers by method, with their metrics and rights."""

    def __init__(
        self,
        agent: "AgentInterface",
        path: str,
        handlers: dict[str, Handler],
        cache: AuthorizedCache | None,
        debugging: Callable[[], bool],
        in_thread: InThread,
    ) -> None:
        self.agent = agent
        self.in_thread = in_thread
        self.cache = cache
        self.debugging = debugging
        words = path.strip("/").replace("/", ".") + ("._" if path.endswith("/") else "")
        #: By method: handler, metric, rights.
        self._handlers = {
            method: (handler, f"http.{method}.{words}", refused_unless_named(rights_of(method, path)))
            for method, handler in handlers.items()
        }
        self._default_policy = agent.access.default_policy.encode()
        self._allowed = ",".join(["OPTIONS", *(method for method in METHODS if method in handlers)]).encode()

    def refuse(self, web: Any, why: str) -> Any:
        """Respond 403 with the reason `why`."""
        self._set_common_headers(web)
        return finish(web, Response(text=why, status=403))

    def serve(self, web: Any, tail: str = "") -> Any:
        """Serve a request: the body, or a Deferred of it. Unknown methods get 405, from the handler of OPTIONS if there
        is one: it knows the methods of each path below its own.
        """
        self._set_common_headers(web)
        method = web.method.decode("latin-1")
        found = self._handlers.get(method) or self._handlers.get("OPTIONS")
        if found is not None:
            handler, metric, rights = found
            return _RequestHandler(self, web, metric).run(handler, tail, rights)
        if _query(web) is None:
            return finish(web, Response(status=500))
        web.setHeader(b"allow", self._allowed)
        if method == "OPTIONS":
            return finish(web, Response())
        return finish(web, Response(text=f"method {method} not allowed", status=405))

    def _set_common_headers(self, web: Any) -> None:
        web.setHeader(b"vary", b"Accept-Encoding")
        if web.getHeader("user-agent"):
            web.setHeader(_DEFAULT_ACL_POLICY, self._default_policy)


def _query(web: Any) -> Query | None:
    """The parameters of a request; None if one has a bad escape."""
    if b"?" not in web.uri:
        return Query("")
    try:
        return Query(web.uri.partition(b"?")[2].decode("utf-8", "surrogateescape"))
    except (BadQuery, ValueError):
        return None


class _RequestHandler:
    """Serves one request: calls the handler, renders its response or error, counts and logs it."""

    def __init__(self, endpoint: Endpoint, web: Any, metric: str) -> None:
        self._agent = endpoint.agent
        self._cache = endpoint.cache
        self._debugging = endpoint.debugging
        self._web = web
        self._metric = metric
        self._began_s = self._agent.clock.seconds()
        self._is_disconnected = False
        self._pretty = False
        self._running: Deferred[Any] | None = None
        self._rendering: Rendering | None = None
        self._in_thread = endpoint.in_thread

    def run(self, handler: Handler, tail: str, rights: Rights) -> Any:
        """Call the handler; the body, or a Deferred of it."""
        web = self._web
        if self._began_s - self._agent.turn.began_s > TURN_MAX_S and not web.is_internal:
            return self._run_later(handler, tail, rights)
        web.on_disconnect(self._disconnected)
        return self._run(handler, tail, rights)

    def _run(self, handler: Handler, tail: str, rights: Rights) -> Any:
        web = self._web
        query = _query(web)
        if query is None:
            return finish(web, Response(status=500))
        self._pretty = "pretty" in query or self._agent.indents_json
        request = web.request_type(
            method=web.method.decode(),
            path=web.text,
            tail=tail,
            query=query,
            header=web.header,
            body=web.body,
            remote_ip=client_of(web),
            cache=self._cache,
            default_token=self._agent.access.tokens.default,
            dependencies=web.dependencies,
            upload=web.upload,
        )
        try:
            selectors.check(query, web.header, request.path)
            if rights.is_checked_here and self._agent.access.is_on:
                response: Any = self._checked(handler, request, rights)
            else:
                response = handler(self._agent, request)
        except Exception:
            return self._finished(Failure())
        if isinstance(response, Response):
            return self._finished(response)
        self._running = response if isinstance(response, Deferred) else Deferred.fromCoroutine(response)
        return self._running.addBoth(self._finished)

    def _run_later(self, handler: Handler, tail: str, rights: Rights) -> "Deferred[Any]":
        """Serve the request in a later turn, after gossip and DNS: this turn has been long."""
        clock = self._agent.clock

        def next_turn() -> None:
            if clock.seconds() - self._agent.turn.began_s > TURN_MAX_S:  # other delayed requests came first
                waiting[0] = clock.callLater(0, next_turn)
            else:
                done.callback(None)

        waiting = [clock.callLater(0, next_turn)]
        done: Deferred[Any] = Deferred(lambda _: waiting[0].cancel())
        self._running = done
        self._web.on_disconnect(self._disconnected)
        return done.addCallbacks(lambda _: self._run(handler, tail, rights), self._finished)

    async def _checked(self, handler: Handler, request: Request, rights: Rights) -> Response:
        """The response of the handler, checked and filtered by the rights of the token."""
        agent, secret = self._agent, token(request)
        if rights.before_token is not None:
            rights.before_token(agent, request)
        identity = await agent.access.identity(secret)
        try:
            if rights.before is not None:
                rights.before(identity.authorizer, agent, request)
            response = handler(agent, request)
            if not isinstance(response, Response):
                response = await response
            if rights.after is not None:
                identity = await agent.access.identity(secret)  # rights may have changed during a wait
                shown = rights.after(identity.authorizer, agent, response)
                if secret and _rows_of(shown) < _rows_of(response):
                    shown.headers = {**shown.headers, RESULTS_FILTERED: "true"}
                response = shown
        except Denied as error:
            error.accessor = error.accessor or identity.token.accessor_id
            raise
        return response

    def _disconnected(self) -> None:
        self._is_disconnected = True
        if self._rendering is not None:
            self._rendering.cancelled = True
        if self._running is not None:
            self._running.cancel()

    def _finished(self, result: Any) -> Any:
        """Render the result. One callback: a chain of them costs as much as the smallest handlers."""
        try:
            body = self._failed(result) if isinstance(result, Failure) else self._respond(result)
        except Exception:
            body = self._failed(Failure())
        if type(body) is not bytes and isinstance(body, Deferred):
            return body.addErrback(self._failed).addBoth(self._ended)
        return self._ended(body)

    def _respond(self, response: Response) -> Any:
        if self._is_disconnected:
            if response.spool is not None:
                response.spool.close()
            return b""
        if response.spool is not None:
            start(self._web, response, has_body=False)
            self._web.setHeader(b"content-length", str(response.spool.size).encode())
            return self._web.send_parts(SpooledBody(response.spool, self._in_thread))
        if response.stream is not None:
            return self._stream(response)
        if response.raw is None and is_large(response.body):
            return self._render(response, json_parts(response.body, self._pretty))
        body = body_of(response, self._pretty)
        if len(body) > LARGE_BYTES:
            return self._render(response, sliced(body))
        if start(self._web, response, bool(body)):
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        return whole(self._web, body)

    def _render(self, response: Response, parts: Iterable[bytes]) -> "Deferred[Any] | Parts":
        """Render and compress a large body in a thread; it is sent in parts."""
        web = self._web
        if web.is_internal:
            return Parts(())  # a large response is not shared by a group
        rendering = self._rendering = Rendering(parts, compress=start(web, response, has_body=True))
        return self._in_thread(rendering.run).addCallback(self._rendered)

    def _rendered(self, body: Parts) -> Any:
        if self._is_disconnected:
            return b""
        self._web.setHeader(b"content-length", str(body.size).encode())
        return b"" if self._web.method == b"HEAD" else self._web.send_parts(body)

    def _stream(self, response: Response) -> "Deferred[bytes]":
        web = self._web
        web.setResponseCode(response.status)
        if response.content_type:
            web.setHeader(b"content-type", response.content_type.encode())
        assert response.stream is not None
        return Stream(web, response.stream).ended

    def _failed(self, failure: Failure) -> Any:
        if isinstance(failure.value, BodyNeeded):
            self._web.needs_body()
            return b""
        return b"" if self._is_disconnected else finish(self._web, _error_response(failure))

    def _ended(self, result: Any) -> Any:
        if self._web.is_internal:
            return result  # the requests of its group are counted instead
        took_ms = 1000 * (self._agent.clock.seconds() - self._began_s)
        self._agent.metrics.sample(self._metric, took_ms)
        if self._debugging():
            _log.debug(
                "Request finished: method={method} url={url} from={source} latency={latency:.3f}ms",
                method=self._web.method.decode("latin-1"),
                url=target_without_secrets(self._web.uri.decode("latin-1")),
                source=client_of(self._web),
                latency=took_ms,
            )
        return result


def _rows_of(response: Response) -> int:
    return len(response.body) if isinstance(response.body, dict | list) else 0


def client_of(web: Any) -> str:
    """The IP address of the client; empty on a unix socket."""
    return str(getattr(web.getClientAddress(), "host", ""))


def _error_response(failure: Failure) -> Response:
    error = failure.value
    if isinstance(error, RPCError):
        status, headers = error.http_status, denied_headers(error)
        if isinstance(error, HttpError):
            status, headers = error.status, error.headers
        text = str(error)
        # Of an error of a server only its text is known.
        if is_refusal(text) and not isinstance(error, PlainError):
            status = 403
        elif EXCEEDED in text or RETRY_ELSEWHERE in text:
            status = 429
        elif RETRY_LATER in text:
            status = 503
        return Response(text=text, status=status, headers=headers)
    if isinstance(error, CancelledError):
        return Response(text="the request was given up", status=500)
    _log.failure("a handler failed", failure)
    return Response(text=f"internal error: {type(error).__name__}", status=500)
