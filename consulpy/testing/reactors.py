"""Which reactor runs the agents of a test: the one that the program runs already, or one of ours in a thread.

Ours is private: `twisted.internet.reactor` stays free for the program, and it handles no signals. One thread in a
process, started at the first use.
"""

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.python import threadable
from twisted.python.failure import Failure

from consulpy.agent.process.monotonic import monotonic_s

if TYPE_CHECKING:
    from consulpy.agent.embedded import Agent

#: How long the end of the program waits for the thread, in seconds.
_JOIN_S: Final = 5.0

Job = Callable[[], Any]


class ReactorLoop(Protocol):
    """A reactor, and how a test's code waits for what happens in it."""

    reactor: Any

    def run(self, job: Job) -> Any:
        """Call `job` in the reactor's thread and wait for its Deferred or coroutine; its result, or its exception."""

    def start(self, job: Job, done: Callable[[Any], None]) -> None:
        """Call `job` there; `done` gets its result or a `Failure`, in the reactor's thread."""


def _started(job: Job) -> "Deferred[Any]":
    def run() -> Any:
        result = job()
        return Deferred.fromCoroutine(result) if asyncio.iscoroutine(result) else result

    return maybeDeferred(run)


def _value(result: Any) -> Any:
    if isinstance(result, Failure):
        result.raiseException()
    return result


class _Threaded:
    """A reactor that runs in another thread."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor

    def start(self, job: Job, done: Callable[[Any], None]) -> None:
        self.reactor.callFromThread(lambda: _started(job).addBoth(done) and None)

    def run(self, job: Job) -> Any:
        results: SimpleQueue[Any] = SimpleQueue()
        self.start(job, results.put)
        return _value(results.get())


class _SameThread:
    """A reactor that runs in this very thread: nothing can wait for it."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor

    def start(self, job: Job, done: Callable[[Any], None]) -> None:
        _started(job).addBoth(done)

    def run(self, job: Job) -> Any:
        results: list[Any] = []
        self.start(job, results.append)
        if not results:
            raise RuntimeError(
                "this would wait in the reactor's own thread, which then could not go on: use "
                "`async with consulpy.testing.agent()` or the fixture `aconsul` here"
            )
        return _value(results[0])


class _PytestTwisted:
    """The reactor of pytest-twisted, seen from outside of its greenlet: it starts with the first wait."""

    def __init__(self, reactor: Any, block_on: Callable[[Any], Any]) -> None:
        self.reactor = reactor
        self._block_on = block_on

    def start(self, job: Job, done: Callable[[Any], None]) -> None:
        self.reactor.callLater(0, lambda: _started(job).addBoth(done) and None)

    def run(self, job: Job) -> Any:
        finished: Deferred[Any] = Deferred()
        self.start(job, finished.callback)
        return self._block_on(finished)


def reactor_loop() -> ReactorLoop:
    """The reactor for code that runs here now: the program's if it runs, else ours."""
    reactor = sys.modules.get("twisted.internet.reactor")
    if reactor is not None and (
        getattr(reactor, "running", False) or _pytest_twisted() is not None or _runs_on_this_loop(reactor)
    ):
        return loop_of(reactor)
    return _Threaded(_own_thread().reactor)


def loop_of(reactor: Any) -> ReactorLoop:
    """A runner of coroutines for code in this thread, on `reactor`."""
    if _own is not None and reactor is _own.reactor:
        return _Threaded(reactor)
    plugin = _pytest_twisted()
    if reactor.running and not threadable.isInIOThread() and not _runs_on_this_loop(reactor):
        return _Threaded(reactor)
    if plugin is not None and sys.modules["greenlet"].getcurrent() is not plugin._instances.gr_twisted:
        return _PytestTwisted(reactor, plugin.blockon)
    return _SameThread(reactor)


def _pytest_twisted() -> Any:
    """The module pytest_twisted, if its reactor runs or is about to; else None."""
    plugin: Any = sys.modules.get("pytest_twisted")
    greenlet = plugin._instances.gr_twisted if plugin is not None else None
    return None if greenlet is None or greenlet.dead else plugin


def _runs_on_this_loop(reactor: Any) -> bool:
    """Whether it is an AsyncioSelectorReactor on the event loop that runs in this thread."""
    loop = getattr(reactor, "_asyncioEventloop", None)
    if loop is None:
        return False
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _asyncio_result(loop: ReactorLoop, job: Job) -> Any:
    events = asyncio.get_running_loop()
    future: asyncio.Future[Any] = events.create_future()

    def settle(result: Any) -> None:
        if future.cancelled():
            return
        if isinstance(result, Failure):
            future.set_exception(result.value or RuntimeError(str(result)))
        else:
            future.set_result(result)

    def finished(result: Any) -> None:
        events.call_soon_threadsafe(settle, result)

    loop.start(job, finished)
    return await future


def coroutine_loop() -> ReactorLoop:
    """The reactor for a coroutine that runs here: without an event loop of asyncio it is one of Twisted.

    The program's reactor may run a moment later only (trial, `task.react`).
    """
    reactor = sys.modules.get("twisted.internet.reactor")
    return reactor_loop() if reactor is None or is_task() else _SameThread(reactor)


def awaitable(loop: ReactorLoop, job: Job) -> Awaitable[Any]:
    """`job` in the reactor's thread, to be awaited by a coroutine of asyncio or of Twisted."""
    if is_task():
        return _asyncio_result(loop, job)
    if isinstance(loop, _Threaded):
        reactor = sys.modules.get("twisted.internet.reactor")
        if reactor is None:
            raise RuntimeError("no event loop of asyncio and no reactor of Twisted runs here")
        return _twisted_result(reactor, loop, job)
    return _started(job)


def is_task() -> bool:
    """Whether a coroutine of asyncio runs here; one of Twisted may run on an event loop of asyncio too."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _twisted_result(reactor: Any, loop: ReactorLoop, job: Job) -> "Deferred[Any]":
    """`job` in the thread of `loop`, for a coroutine in the program's `reactor`."""
    finished: Deferred[Any] = Deferred()
    loop.start(job, lambda result: reactor.callFromThread(finished.callback, result))
    return finished


def stop_all(loop: ReactorLoop, agents: "Sequence[Agent]") -> None:
    """Stop agents, and wait for that where it is possible."""

    async def stop() -> None:
        await DeferredList([agent.stop() for agent in agents], consumeErrors=True)

    if isinstance(loop, _SameThread):
        loop.start(stop, lambda _: None)
    else:
        loop.run(stop)


class _OwnThread:
    """A reactor in a thread of its own.

    `clock`: taken when this module is imported: a test that stops its program's clocks does not stop the agents.
    """

    def __init__(self, clock: Callable[[], float] = monotonic_s) -> None:
        self.reactor = _new_reactor()
        self.reactor.seconds = clock
        self.reactor._registerAsIOThread = False  # the program's own reactor may come later
        self.reactor.getThreadPool().threadFactory = partial(threading.Thread, daemon=True)
        self._thread = threading.Thread(target=self._work, name="consulpy-reactor", daemon=True)
        running = threading.Event()
        self.reactor.callWhenRunning(running.set)
        self._thread.start()
        running.wait()

    def _work(self) -> None:
        self.reactor.run(installSignalHandlers=False)

    def stop(self) -> None:
        """Stop the reactor, at the end of the program."""
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(_JOIN_S)


_lock = threading.Lock()
_own: _OwnThread | None = None


def _own_thread() -> _OwnThread:
    global _own
    with _lock:
        if _own is None:
            _own = _OwnThread()
            atexit.register(_own.stop)
        return _own


def _forget_thread() -> None:
    """After a fork, in the child: drop the thread, which is the parent's."""
    global _own, _lock
    if _own is not None:
        atexit.unregister(_own.stop)
    _own, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_thread)


def _new_reactor() -> Any:
    module, name = {
        "linux": ("epollreactor", "EPollReactor"),
        "darwin": ("kqreactor", "KQueueReactor"),
    }.get(sys.platform, ("pollreactor", "PollReactor"))
    return getattr(import_module(f"twisted.internet.{module}"), name)()
