"""Notifications to the service manager: readiness, reloads, stops and the watchdog of `Type=notify` units.

Datagrams of `NAME=value` lines to the unix socket of `$NOTIFY_SOCKET`. Source: sd_notify(3), sd_watchdog_enabled(3);
that an agent with something to join is ready after its first LAN join: Consul 1.8.7 (which is never ready without one).
"""

import os
import socket
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from consulpy.agent.agent import Agent
from consulpy.clock import Clock
from consulpy.log import Logger

_log = Logger()

#: Keep-alives in each watchdog interval; sd_watchdog_enabled(3) advises two.
_KEEP_ALIVES: Final = 2


def notify_socket(address: str) -> Callable[[bytes], None]:
    """A sender of datagrams to `address`, a path or, with a leading `@`, an abstract name. Never waits.

    What the manager does not read at once is dropped. Raises OSError if the socket has no listener.
    """
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sender.setblocking(False)
    try:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        sender.close()
        raise

    def send(message: bytes) -> None:
        try:
            sender.send(message)
        except BlockingIOError:
            pass
        except OSError as error:
            _log.warn("the service manager was not notified: {error}", error=error)

    return send


class Notifier:
    """Notifies the service manager of the agent's state. `send(message)`: one datagram.

    `waits_for_join`: it is ready after its first join only. `keep_alive_s`: the watchdog's interval, 0 for none.
    """

    def __init__(
        self, clock: Clock, send: Callable[[bytes], None], *, waits_for_join: bool, keep_alive_s: float
    ) -> None:
        self._clock = clock
        self._send = send
        self._waits_for_join = waits_for_join
        self._pause_s = keep_alive_s / _KEEP_ALIVES
        self._is_ready = self._is_stopping = False

    def started(self) -> None:
        """All ports are open and the reactor runs."""
        if self._waits_for_join:
            self._send(b"STATUS=waiting for the first join")
        else:
            self._ready()
        if self._pause_s > 0:
            self._keep_alive()

    def changed(self, state: str) -> None:
        """The agent has `joined`, is `reloading`, has `reloaded`, or is `stopping`."""
        if state == "joined":
            self._ready()
        elif state == "stopping" and not self._is_stopping:
            self._is_stopping = True
            self._send(b"STOPPING=1\nSTATUS=stopping")
        elif state == "reloading" and self._is_ready:
            self._send(b"RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=reloading" % (self._clock.seconds() * 1e6))
        elif state == "reloaded" and self._is_ready:
            self._is_ready = False
            self._ready()

    def _ready(self) -> None:
        if not self._is_ready and not self._is_stopping:
            self._is_ready = True
            self._send(b"READY=1\nSTATUS=running")

    def _keep_alive(self) -> None:
        """Keep-alive by a timer of the reactor: when a turn does not end, the manager restarts the program."""
        self._send(b"WATCHDOG=1")
        self._clock.callLater(self._pause_s, self._keep_alive)


def _watchdog_interval_s(environment: MutableMapping[str, str]) -> float:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() else 0.0


def install(reactor: Any, agent: Agent, environment: MutableMapping[str, str] = os.environ) -> None:
    """Notify the manager that started this program, if one did; for a process that is an agent and nothing else.

    The variables are removed: programs that checks and watches run are not this unit's main process.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    keep_alive_s = _watchdog_interval_s(environment)
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        environment.pop(name, None)
    if not address.startswith(("/", "@")):
        return
    try:
        send = notify_socket(address)
    except OSError as error:
        _log.warn("NOTIFY_SOCKET: {error}", error=error)
        return
    joins = bool(agent.config.start_join or agent.config.retry_join)
    notifier = Notifier(reactor, send, waits_for_join=joins, keep_alive_s=keep_alive_s)
    agent.state_changed = notifier.changed
    reactor.callWhenRunning(notifier.started)
    reactor.addSystemEventTrigger("before", "shutdown", notifier.changed, "stopping")
