"""A look at what listens where a request has no answer: a user who named another port than the API's learns it at once.

Further connections ask for HTTP, a server's RPC and DNS. What answers by another protocol ends the command; a silent
address gets one line, as an agent may be slow, and the command goes on waiting. Once an HTTP response has come, long
answers (blocking queries, `monitor`) are never looked into.
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from consulpy.client import ClientSettings, NoAgent

#: Silence after which the address is looked at, and how long that takes at most, in seconds: a command that was given
#: the wrong port says so within two seconds of its start.
SILENCE_S: Final = 0.7
PROBE_S: Final = 0.5


class SilenceWatch:
    """`tell(text)`: shows a line to the user."""

    def __init__(self, settings: ClientSettings, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._is_over = settings.scheme == "unix"  # nobody takes another socket for it
        self._verdict = ""

    @contextmanager
    def __call__(self, give_up: Callable[[], None]) -> Iterator[None]:
        """While this is entered a response is awaited; `give_up()` ends that by an error. Raises `NoAgent`."""
        if self._is_over:
            yield
            return
        timer = threading.Timer(SILENCE_S, self._look, (give_up,))
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError):
            if self._verdict:
                raise NoAgent(self._verdict, _HINT, opened=True) from None
            raise
        finally:
            self._is_over = True
            timer.cancel()

    def _look(self, give_up: Callable[[], None]) -> None:
        from consulpy.cli.probe import identify  # only here: most commands never need it

        address = self._settings.address
        what = identify(address, PROBE_S)
        if self._is_over:
            return
        if what is None:
            self._tell(
                f"{address} takes no connection: the host is down, or a firewall drops the packets. Still trying."
            )
        elif not what:
            self._tell(
                f"{address} takes connections and answers nothing: an agent that is stuck or slow, or no "
                f"{self._settings.scheme.upper()} at all. Still waiting."
            )
        elif not what.startswith("HTTP") and not (what.startswith("TLS") and self._settings.scheme == "https"):
            self._verdict = f"{self._settings.url} is {what}, no API of an agent"
            with suppress(OSError):
                give_up()


_HINT: Final = (
    "-http-addr and CONSUL_HTTP_ADDR name the HTTP API of an agent (port 8500; 8600 is DNS, 8301 and 8302 are gossip, "
    "8300 is for servers)."
)
