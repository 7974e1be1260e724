"""The configuration's `watches`: handlers (a program or a URL) that are called with each new result of a query.

The agent sends blocking queries to its own HTTP API, as `consulpy watch` does. A result equal to the last one calls no
handler; the next query is sent after the handler has ended. Pauses after failures: 5, 20, 45 ... 180 s.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from consulpy.agent.features.local_endpoint import LocalEndpoint
from consulpy.agent.features.webhook import OUTPUT_MAX_BYTES, WebHook
from consulpy.client.watch import PARAMETERS, Watched, retry_pause_s, watch_query
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError
from consulpy.gocompat.json_encode import compact_json
from consulpy.log import Logger

_log = Logger()

_HANDLER_KEYS: Final = ("handler", "args", "handler_type", "http_handler_config", "token", "datacenter", "type")
#: Keys of Consul 1.11 and later that may ask for what is so anyway.
_NEWER_KEYS: Final = ("namespace", "partition")
_SWITCHES: Final = ("passingonly", "stale")
#: The only kind whose answers are told apart by a hash, not by an index.
_BY_HASH: Final = "agent_service"

#: Parameter, header and first value of a position.
_INDEX: Final = ("index", "X-Consul-Index", "0")

#: Bytes of an answer above which its result is computed in a thread.
_IN_THREAD_BYTES: Final = 256 * 1024

#: `handle(index or hash, result as JSON)`.
Handler = Callable[[int | str, bytes], "Deferred[None]"]


class Watches:
    """All watches of an agent."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._running: list[_Watch] = []

    def prepare(
        self, config: RuntimeConfig, context: Callable[[], ssl.SSLContext | None] = lambda: None
    ) -> Callable[[], None]:
        """Validate the watches of `config`; the returned function replaces the running ones. Raises `ConfigError`.

        `context()`: TLS to the agent's own API.
        """
        api = LocalEndpoint(self._reactor, config, context) if config.watches else None
        plans = [_checked(self._reactor, api, definition) for definition in config.watches]

        def start() -> None:
            self.stop()
            self._running = plans
            for plan in plans:
                plan.start()

        return start

    def stop(self) -> None:
        """Cancel all watches."""
        running, self._running = self._running, []
        for each in running:
            each.stop()


def check_watches(config: RuntimeConfig) -> None:
    """Validate all watches. Raises `ConfigError` with file and line."""
    Watches(None).prepare(config)


def _checked(reactor: Any, api: LocalEndpoint | None, definition: Mapping[str, Any]) -> "_Watch":
    assert api is not None, "there is one where there are watches"
    try:
        return _Watch(reactor, api, definition)
    except ConfigError as error:
        place = getattr(definition, "place", None)
        raise ConfigError(f"{place}: {error}") if place else error from None


class _Watch:
    """One watch. Raises `ConfigError` for an invalid definition."""

    def __init__(self, reactor: Any, api: LocalEndpoint, definition: Mapping[str, Any]) -> None:
        self._reactor = reactor
        self._api = api
        self._kind = str(definition.get("type") or "")
        foreign = {name for name in _NEWER_KEYS if definition.get(name, "") not in ("", "default")}
        unknown = sorted(foreign | set(definition) - {*PARAMETERS, *_HANDLER_KEYS, *_NEWER_KEYS})
        if unknown:
            raise ConfigError(f"watches: {self._kind}: invalid parameters: {', '.join(unknown)}")
        values = {name: definition.get(name) or "" for name in PARAMETERS}
        values |= {name: "true" if definition.get(name) in (True, "true") else "" for name in _SWITCHES}
        tags = definition.get("tag") or []
        values["tag"] = [tags] if isinstance(tags, str) else list(tags)
        try:
            path, params = watch_query({**values, "type": self._kind}, in_agent=True)
        except ValueError as error:
            raise ConfigError(f"watches: {self._kind or 'without a type'}: {error}") from None
        pairs = [("dc", definition.get("datacenter")), *params.items()]
        self._query = urlencode(
            [(name, one) for name, value in pairs if value is not None and (value != "" or name == "recurse")
             for one in (value if isinstance(value, list) else [value])]
        )  # fmt: skip
        self._url = f"{api.base_url}{path}"
        self._token = str(definition.get("token") or "")
        self._handler = _handler(reactor, definition)
        self._running: Deferred[None] | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Query and call the handler until stopped."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def stop(self) -> None:
        """Cancel the query, or the handler."""
        self._is_stopped = True
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        watched, failures = Watched(self._kind), 0
        while True:
            try:
                position, body = await self._query_once(watched.position)
                given = await self._rendered(watched, position, body)
            except CancelledError:
                raise
            except Exception as error:
                if self._is_stopped:  # Twisted's client wraps the CancelledError of a request
                    return
                watched.failed()
                failures += 1
                pause_s = retry_pause_s(failures)
                _log.error(
                    "watch {kind}: {error}; again in {pause_s:g} s", kind=self._kind, error=error, pause_s=pause_s
                )
                await deferLater(self._reactor, pause_s)
                continue
            failures = 0
            if given:
                await self._handle(position, given)
                if self._is_stopped:
                    return

    async def _rendered(self, watched: Watched, position: int | str, body: bytes) -> bytes:
        """What the handler gets, empty if nothing is new; of a large answer computed in a thread."""

        def render() -> bytes:
            is_news = watched.is_news(position, orjson.loads(body) if body else None)
            return compact_json(watched.result) + b"\n" if is_news else b""

        if len(body) < _IN_THREAD_BYTES:
            return render()
        return await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), render)

    async def _handle(self, position: int | str, result: bytes) -> None:
        """Call the handler. Failures are logged, and the watch continues."""
        try:
            await self._handler(position, result)
        except CancelledError:
            raise
        except Exception as error:
            if not self._is_stopped:
                _log.error("watch {kind}: its handler: {error}", kind=self._kind, error=error)

    async def _query_once(self, position: int | str | None) -> tuple[int | str, bytes]:
        """The answer after `position`, empty if there is none, behind its own position: an index, or a hash."""
        from twisted.web.client import readBody
        from twisted.web.http_headers import Headers

        name, header, first = ("hash", "X-Consul-ContentHash", "") if self._kind == _BY_HASH else _INDEX
        query = "&".join(part for part in (self._query, f"{name}={position}" if position else "") if part)
        headers = Headers({"X-Consul-Token": [self._token]} if self._token else {})
        url = f"{self._url}?{query}" if query else self._url
        response = await self._api.agent().request(b"GET", url.encode(), headers)
        body = await readBody(response)
        is_none = response.code == 404 and self._kind != _BY_HASH
        if response.code != 200 and not is_none:
            raise ValueError(f"{response.code}: {body.decode('utf-8', 'replace').strip()}")
        (text,) = response.headers.getRawHeaders(header, [first])
        return int(text) if name == "index" else text, b"" if is_none else body


def _handler(reactor: Any, definition: Mapping[str, Any]) -> Handler:
    """The handler of a definition. Raises `ConfigError`."""
    kind = definition.get("handler_type") or ("http" if definition.get("http_handler_config") else "script")
    if kind == "http":
        return WebHook(reactor, definition.get("http_handler_config") or {}).handle
    if kind != "script":
        raise ConfigError(f"watches: handler type '{kind}' not recognized: script and http are")
    arguments, line = definition.get("args"), definition.get("handler")
    if arguments and line:
        raise ConfigError("watches: only one of args and handler may be given")
    if line:
        arguments = [os.environ.get("SHELL", "/bin/sh"), "-c", str(line)]
    if not arguments:
        raise ConfigError("watches: a watch needs args (a program), or http_handler_config (a URL)")
    return _ScriptHandler(reactor, [str(each) for each in arguments]).handle


class _ScriptHandler:
    """Runs a program with the result on its standard input and an index as CONSUL_INDEX."""

    def __init__(self, reactor: Any, arguments: list[str]) -> None:
        self._reactor = reactor
        self._arguments = arguments

    def handle(self, position: int | str, result: bytes) -> "Deferred[None]":
        """Fires when the program has ended, whatever its status."""
        process = _Process(self._arguments[0], result)
        environment = {**os.environ, **({"CONSUL_INDEX": str(position)} if isinstance(position, int) else {})}
        self._reactor.spawnProcess(process, self._arguments[0], self._arguments, environment)
        return process.ended


class _Process(ProcessProtocol):
    transport: Any

    def __init__(self, name: str, given: bytes) -> None:
        self._name = name
        self._given = given
        self._output = b""
        self.ended: Deferred[None] = Deferred(lambda _: self.transport.signalProcess("KILL"))

    def connectionMade(self) -> None:
        self.transport.write(self._given)
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._output = (self._output + data)[:OUTPUT_MAX_BYTES]

    errReceived = outReceived  # noqa: N815 - Twisted's name

    def processEnded(self, reason: Failure) -> None:
        if not reason.check(ProcessDone):
            _log.error("watch handler {name}: {why}", name=self._name, why=reason.getErrorMessage())
        if self._output:
            text = self._output.decode("utf-8", "replace").rstrip()
            _log.debug("watch handler {name}: {text}", name=self._name, text=text)
        if not self.ended.called:
            self.ended.callback(None)
