"""The HTTP listener: TCP addresses, TLS and unix sockets."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.connections import ConnectionTable
from consulpy.errors import ConfigError
from consulpy.http.api.access import AccessRules
from consulpy.http.api.app import make_site_root
from consulpy.http.api.endpoint import InThread
from consulpy.http.api.origin import Origins
from consulpy.http.api.root_resource import WebPage
from consulpy.http.cache.blocking_groups import BlockingQueryGroups
from consulpy.http.cache.response_cache import ResponseCache
from consulpy.http.connection.dispatch import Dispatcher
from consulpy.http.connection.factory import HttpFactory
from consulpy.http.connection.limits import DEFAULT_LIMITS, ConnectionLimits
from consulpy.http.connection.transport import EagerTransport
from consulpy.http.errors import HTTP_ON_HTTPS_PORT
from consulpy.http.socket_file import created_private, remove_stale, set_access, socket_mode
from consulpy.memberlist.transport import cannot_listen
from consulpy.rpc.cache.authorized_cache import AuthorizedCache
from consulpy.tls.contexts import Tls
from consulpy.tls.transport import TlsFactory

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

#: Backlog of listening sockets, in connections.
BACKLOG: Final = 1024
#: Threads that render large responses; more would compete for the interpreter and hold more memory.
RENDERING_THREADS: Final = 2
_UNIX: Final = ("unix://", "/")


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Configuration of the HTTP API.

    `addresses`: IP addresses, or paths of unix sockets (`unix:///run/consul.sock`, `/run/consul.sock`).
    `port`: of the IP addresses; 0 or less: not on them.
    """

    addresses: tuple[str, ...]
    port: int
    #: Added to all responses of routes (`http_config.response_headers`).
    response_headers: Mapping[str, str] = field(default_factory=dict)
    #: Of unix sockets: the mode in octal digits, owner and group by name or number; empty: as the process has them.
    socket_mode: str = ""
    socket_user: str = ""
    socket_group: str = ""
    #: 0: no limit (`limits.http_max_conns_per_client`).
    connections_per_client: int = 200
    #: Prefixes of paths that get 403 (`http_config.block_endpoints`).
    block_endpoints: tuple[str, ...] = ()
    #: Networks from which writes may come; none: from anywhere (`http_config.allow_write_http_from`).
    allow_write_from: tuple[str, ...] = ()
    #: Whether `?cached` means anything (`http_config.use_cache`).
    use_cache: bool = True
    #: The same for HTTPS.
    https_addresses: tuple[str, ...] = ()
    https_port: int = 0
    #: Seconds (`limits.https_handshake_timeout`); 0: no limit.
    https_handshake_timeout_s: float = 5.0
    #: Hosts whose pages may change state through a browser (`ui_config.allowed_hosts`).
    allowed_hosts: tuple[str, ...] = ()
    #: Whether there is a web page, and the folder of its files; "": those of this package (`ui`, `ui_dir`).
    ui: bool = False
    ui_dir: str = ""
    #: Path of the page; begins and ends with a slash.
    ui_content_path: str = "/ui/"
    #: Of connections and requests.
    limits: ConnectionLimits = DEFAULT_LIMITS


class HttpService(Service):
    """The HTTP API of `agent`.

    `debugging()`: whether a line is logged for each request. `tls`: for HTTPS. `connections`: where those of its
    clients are counted. `in_thread`: renders large bodies (None: in threads of its own).
    """

    def __init__(
        self,
        reactor: Any,
        config: HttpConfig,
        agent: "AgentInterface",
        debugging: Callable[[], bool] = lambda: False,
        tls: Tls | None = None,
        connections: ConnectionTable | None = None,
        in_thread: InThread | None = None,
    ) -> None:
        self._reactor = reactor
        self._tls = tls
        self._config = config
        cache = AuthorizedCache(agent.agent_cache, agent.caller, reactor, agent.access) if config.use_cache else None
        self.cache = ResponseCache(agent, debugging)
        guard = AccessRules(config.block_endpoints, config.allow_write_from)
        name = socket.gethostname()
        origins = Origins(config.allowed_hosts, (name, name.partition(".")[0], agent.node_name))
        self._pool: ThreadPool | None = None
        in_thread = in_thread or self._in_thread
        make_page = self._page_maker(agent, in_thread) if config.ui or config.ui_dir else None
        root = make_site_root(
            agent, dict(config.response_headers), cache, guard, origins, debugging, in_thread, make_page
        )
        server = getattr(agent, "server", None)
        groups = None
        if server is not None:
            groups = BlockingQueryGroups(server, reactor, root.serve, self.cache.metrics, debugging)
        dispatcher = Dispatcher(self.cache, groups, root.serve, reactor.seconds)
        #: The factory of connections.
        self.factory = HttpFactory(
            root, reactor, config.connections_per_client, dispatcher, connections, config.limits, in_thread
        )
        self._listeners: list[Any] = []

    def _page_maker(self, agent: "AgentInterface", in_thread: InThread) -> Callable[[], WebPage]:
        config = self._config

        def make_page() -> WebPage:
            # Most agents have no page, and of those that have one most are never looked at.
            from consulpy.http.ui.disk import FolderFiles, PackageFiles
            from consulpy.http.ui.pages import Pages

            return Pages(
                FolderFiles(config.ui_dir) if config.ui_dir else PackageFiles(),
                config.ui_content_path,
                is_own=not config.ui_dir,
                values=lambda: {"ACLsEnabled": agent.access.is_on},
                added=[(name.encode(), value.encode()) for name, value in config.response_headers.items()],
                in_thread=in_thread,
            )

        return make_page

    def _in_thread(self, job: Callable[[], Any]) -> "Deferred[Any]":
        if self._pool is None:  # most agents have no large responses
            self._pool = ThreadPool(minthreads=0, maxthreads=RENDERING_THREADS, name="large-responses")
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, job)

    def reconfigure(self, config: HttpConfig) -> None:
        """Apply a reloaded configuration: the limit of connections. Clears the response cache."""
        self.factory.connections_per_client = config.connections_per_client
        self.cache.clear()

    @property
    def ports(self) -> list[int]:
        """The TCP ports of the open listeners."""
        return [listener.getHost().port for listener in self._listeners if hasattr(listener.getHost(), "port")]

    def startService(self) -> None:
        """Open all listeners. Raises `ConfigError` if one fails; then none is open."""
        super().startService()  # type: ignore[no-untyped-call]
        try:
            for address in self._config.addresses:
                self._listen(address)
            for address in self._config.https_addresses if self._config.https_port > 0 else ():
                self._listen_tls(address)
        except ConfigError:
            self.stopService()
            raise

    def _listen(self, address: str) -> None:
        port = self._config.port
        if address.startswith(_UNIX):
            self._listen_unix(address.removeprefix("unix://"))
        elif port > 0:
            listener = self._listen_tcp("HTTP", address, port, self.factory)
            listener.transport = EagerTransport  # of accepted connections, as `twisted.internet.tcp.Port` offers

    def _listen_tcp(self, what: str, address: str, port: int, factory: Any) -> Any:
        try:
            listener = self._reactor.listenTCP(port, factory, backlog=BACKLOG, interface=address)
        except CannotListenError as error:
            raise ConfigError(cannot_listen(what, address, port, error)) from None
        self._listeners.append(listener)
        return listener

    def _listen_tls(self, address: str) -> None:
        tls = self._tls
        if tls is None or address.startswith(_UNIX):
            return

        timeout_s = self._config.https_handshake_timeout_s
        factory = TlsFactory(self.factory, lambda: tls.incoming_https, self._reactor, timeout_s, HTTP_ON_HTTPS_PORT)
        self._listen_tcp("HTTPS", address, self._config.https_port, factory)

    def _listen_unix(self, path: str) -> None:
        config = self._config
        mode = socket_mode(config.socket_mode)
        remove_stale(path)
        try:
            with created_private():
                listener = self._reactor.listenUNIX(path, self.factory, backlog=BACKLOG, mode=mode & 0o700)
        except CannotListenError as error:
            raise ConfigError(f"HTTP: cannot listen on the unix socket {path}: {error.socketError}") from None
        self._listeners.append(listener)
        set_access(path, config.socket_user, config.socket_group, mode)

    def stopService(self) -> None:
        """Close the listeners, blocking groups and cache."""
        super().stopService()  # type: ignore[no-untyped-call]
        for listener in self._listeners:
            listener.stopListening()
        self._listeners.clear()
        groups = self.factory.dispatcher.groups
        if groups is not None:
            groups.close()
        self.cache.close()
        if self._pool is not None:
            self._pool.stop()
            self._pool = None
