"""A reactor for one agent inside another program: what the agent starts through it ends with `close`.

Timers, descriptors, ports and connections are the host reactor's, and are recorded here. Time is monotonic, whatever
clock the host reactor has. Calls into the agent run with its name as the log's current node (`consulpy.log`).
"""

from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from typing import Any, Final

from twisted.internet import tcp, udp, unix
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import ConnectionAborted, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableDescriptor, IReadWriteDescriptor
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from consulpy.agent.process.monotonic import monotonic_s
from consulpy.clock import cancel_timer
from consulpy.log import current_node

#: Recorded timers beyond which those that are over are forgotten.
_TIMERS_KEPT: Final = 64
#: Interval in which ended child processes are looked for, in seconds: in a program without Twisted's signal handlers
#: they are not reaped otherwise.
_REAP_INTERVAL_S: Final = 0.02
#: Looks at a killed process before it is left to its parent's end.
_REAP_TRIES: Final = 50
_ENDED: Final = Failure(ConnectionAborted())


class ReactorScope:
    """The part of `reactor` that one agent uses; `node`: the agent's name."""

    seconds = staticmethod(monotonic_s)

    def __init__(self, reactor: Any, node: str) -> None:
        self._reactor = reactor
        self.node = node
        self._timers: set[Any] = set()
        self._forget_at = _TIMERS_KEPT
        #: Watched descriptors, and the objects that the reactor has in their place.
        self._watched: dict[Any, _Watched] = {}
        self._readers: set[Any] = set()
        self._writers: set[Any] = set()
        self._ports: set[Any] = set()
        #: Connectors that had no connection yet when the last one was made.
        self._connecting: list[Any] = []
        self._is_closing = False
        self._closing: list[Deferred[Any]] = []
        self._processes: set[Any] = set()
        self._is_reaping = False
        #: Addresses that are out of reach, for tests of partitions.
        self.blocked: set[tuple[str, int]] = set()
        #: After `close`: a clock that stands still, for timers that are started too late.
        self._stopped_clock: Clock | None = None
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def enter(self) -> "Token[str]":
        """Begin a call into the agent; the result is for `current_node.reset`."""
        return current_node.set(self.node)

    def _inside(self, call: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        token = current_node.set(self.node)
        try:
            return call(*arguments, **named)
        finally:
            current_node.reset(token)

    # -- time and threads

    def callLater(self, delay: float, call: Callable[..., Any], *arguments: Any, **named: Any) -> IDelayedCall:
        """See `IReactorTime`."""
        if self._stopped_clock is not None:
            return self._stopped_clock.callLater(delay, call, *arguments, **named)
        timer: IDelayedCall = self._reactor.callLater(delay, self._inside, call, arguments, named)
        self._timers.add(timer)
        if len(self._timers) > self._forget_at:
            self._timers = {each for each in self._timers if each.active()}
            self._forget_at = 2 * len(self._timers) + _TIMERS_KEPT
        return timer

    def callFromThread(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """See `IReactorFromThreads`."""
        self._reactor.callFromThread(self._inside, call, arguments, named)

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """The timers of this agent."""
        return [timer for timer in self._timers if timer.active()]

    # -- descriptors

    def addReader(self, reader: Any) -> None:
        """See `IReactorFDSet`."""
        self._readers.add(reader)
        self._reactor.addReader(self._watch(reader))

    def addWriter(self, writer: Any) -> None:
        """See `IReactorFDSet`."""
        self._writers.add(writer)
        self._reactor.addWriter(self._watch(writer))

    def removeReader(self, reader: Any) -> None:
        """See `IReactorFDSet`."""
        if reader in self._readers:
            self._readers.discard(reader)
            self._reactor.removeReader(self._watched[reader])
            self._forget(reader)

    def removeWriter(self, writer: Any) -> None:
        """See `IReactorFDSet`."""
        if writer in self._writers:
            self._writers.discard(writer)
            self._reactor.removeWriter(self._watched[writer])
            self._forget(writer)

    def _watch(self, descriptor: Any) -> "_Watched":
        watched = self._watched.get(descriptor)
        if watched is None:
            kind = _WatchedStream if IHalfCloseableDescriptor.providedBy(descriptor) else _Watched
            watched = self._watched[descriptor] = kind(self, descriptor)
        return watched

    def _forget(self, descriptor: Any) -> None:
        if descriptor not in self._readers and descriptor not in self._writers:
            del self._watched[descriptor]

    def getReaders(self) -> list[Any]:
        """The descriptors of this agent that are watched for input."""
        return list(self._readers)

    def getWriters(self) -> list[Any]:
        """The descriptors of this agent that are watched for output."""
        return list(self._writers)

    # -- ports and connections

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See `IReactorTCP`."""
        return self._listen(tcp.Port(port, factory, backlog, interface, self))

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Any:
        """See `IReactorUDP`."""
        made = _UdpPort(port, protocol, interface, maxPacketSize, self)  # type: ignore[no-untyped-call]
        return self._listen(made)

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> Any:
        """See `IReactorUNIX`."""
        path: Any = address  # Twisted's own annotation says bytes
        return self._listen(unix.Port(path, factory, backlog, mode, self, wantPID))

    def _listen(self, port: Any) -> Any:
        port.startListening()
        self._ports.add(port)
        stop, waiting = port.stopListening, list[Deferred[Any]]()

        def closed(result: Any) -> Any:
            for each in waiting:
                each.callback(None)
            waiting.clear()
            return result

        def stop_once() -> Deferred[Any]:
            """`stopListening`, which fails if it is called twice in a turn."""
            if port in self._ports:
                self._ports.discard(port)
                self._closing.append(maybeDeferred(stop).addBoth(closed))
            answer: Deferred[Any] = Deferred()
            waiting.append(answer)
            return answer

        port.stopListening = stop_once
        return port

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30.0, bindAddress: Any = None
    ) -> tcp.Connector:
        """See `IReactorTCP`."""
        is_out_of_reach = self._is_closing or (host, port) in self.blocked
        kind = _BlockedConnector if is_out_of_reach else tcp.Connector
        connector = kind(host, port, factory, timeout, bindAddress, self)
        self._connect(connector)
        return connector

    def _connect(self, connector: Any) -> None:
        """Connect. The socket is there at once, but is watched a turn later only."""
        self._connecting = [*(each for each in self._connecting if each.state == "connecting"), connector]
        connector.connect()

    def connectUNIX(self, address: str, factory: Any, timeout: float = 30.0, checkPID: bool = False) -> Any:
        """See `IReactorUNIX`."""
        connector = unix.Connector(address, factory, timeout, self, checkPID)
        self._connect(connector)
        return connector

    def block(self, addresses: set[tuple[str, int]]) -> None:
        """Put addresses out of reach: datagrams to them are lost, connections are cut, new ones time out."""
        self.blocked |= addresses
        for descriptor, watched in list(self._watched.items()):
            if isinstance(descriptor, tcp.Client) and descriptor.addr in addresses:
                self._inside(watched.connectionLost, (_ENDED,), {})

    # -- processes

    def spawnProcess(self, protocol: Any, *arguments: Any, **named: Any) -> Any:
        """See `IReactorProcess`."""
        process = self._reactor.spawnProcess(protocol, *arguments, **named)
        self._processes.add(process)
        self._reap()
        return process

    def _reap(self) -> None:
        from twisted.internet.process import reapAllProcesses

        reapAllProcesses()
        self._processes = {process for process in self._processes if process.pid is not None}
        if self._processes and not self._is_reaping:
            self._is_reaping = True
            self.callLater(_REAP_INTERVAL_S, self._reap_again)

    def _reap_again(self) -> None:
        self._is_reaping = False
        self._reap()

    # -- the end

    def close(self) -> "Deferred[None]":
        """End everything that is still there; fires when the descriptors are closed.

        Called once, after the agent has stopped its parts: nothing is announced to anybody.
        """
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._is_closing = True
        for connector in self._connecting:
            if connector.state == "connecting":
                self._inside(connector.stopConnecting, (), {})
        for port in list(self._ports):
            port.stopListening()
        for descriptor in list(self._watched):
            self._inside(self._watched[descriptor].connectionLost, (_ENDED,), {})
        await DeferredList(self._closing, consumeErrors=True)
        await deferLater(self._reactor, 0)  # for connections that were aborted in this turn
        await self._end_processes()
        for timer in self._timers:
            cancel_timer(timer)
        self._timers.clear()
        self._stopped_clock = Clock()

    async def _end_processes(self) -> None:
        for process in self._processes:
            with suppress(ProcessExitedAlready):
                process.signalProcess("KILL")
        for _ in range(_REAP_TRIES):
            self._reap()
            if not self._processes:
                return
            await deferLater(self._reactor, _REAP_INTERVAL_S)


class _UdpPort(udp.Port):
    """A UDP port whose datagrams to blocked addresses are lost."""

    reactor: Any

    def write(self, datagram: bytes, addr: Any = None) -> Any:
        """See `IUDPTransport.write`."""
        if addr is not None and addr[:2] in self.reactor.blocked:
            return len(datagram)
        return super().write(datagram, addr)


class _BlockedConnector(tcp.Connector):
    """A connector to a blocked address: it times out."""

    def _makeTransport(self) -> Any:
        return _Unconnected(self)


class _Unconnected:
    """The transport of a connection that is never made."""

    def __init__(self, connector: tcp.Connector) -> None:
        self._connector: tcp.Connector | None = connector

    def failIfNotConnected(self, error: BaseException) -> None:
        """The timeout, or a cancellation."""
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.connectionFailed(Failure(error))


@implementer(IReadWriteDescriptor)
class _Watched:
    """A descriptor as the host reactor sees it: its calls are calls into the agent."""

    __slots__ = ("__provides__", "_scope", "descriptor")

    def __init__(self, scope: ReactorScope, descriptor: Any) -> None:
        self._scope = scope
        self.descriptor = descriptor

    def fileno(self) -> int:
        """See `IFileDescriptor`."""
        return int(self.descriptor.fileno())

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return str(self.descriptor.logPrefix())

    def doRead(self) -> Any:
        """See `IReadDescriptor`."""
        token = self._scope.enter()
        try:
            return self.descriptor.doRead()
        finally:
            current_node.reset(token)

    def doWrite(self) -> Any:
        """See `IWriteDescriptor`."""
        token = self._scope.enter()
        try:
            return self.descriptor.doWrite()
        finally:
            current_node.reset(token)

    def connectionLost(self, reason: Failure) -> None:
        """See `IFileDescriptor`."""
        self._scope.removeReader(self.descriptor)
        self._scope.removeWriter(self.descriptor)
        token = self._scope.enter()
        try:
            self.descriptor.connectionLost(reason)
        finally:
            current_node.reset(token)


@implementer(IHalfCloseableDescriptor)
class _WatchedStream(_Watched):
    """A descriptor with two directions."""

    __slots__ = ()

    def readConnectionLost(self, reason: Failure) -> None:
        """See `IHalfCloseableDescriptor`."""
        token = self._scope.enter()
        try:
            self.descriptor.readConnectionLost(reason)
        finally:
            current_node.reset(token)

    def writeConnectionLost(self, reason: Failure) -> None:
        """See `IHalfCloseableDescriptor`."""
        token = self._scope.enter()
        try:
            self.descriptor.writeConnectionLost(reason)
        finally:
            current_node.reset(token)
