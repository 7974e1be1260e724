"""The HTTP API: listener, connections, caches and routes."""

import importlib.util
import sys


def _load_http1() -> None:
    """Import `twisted.web.http` without h2: 2 MB in memory and 10 ms of each start.

    Twisted's own HTTP/2 imports h2 and then gives up for want of `priority`, which nothing here installs. A program
    that has it keeps its HTTP/2.
    """
    name = "twisted.web._http2"
    if "twisted.web.http" in sys.modules or name in sys.modules or importlib.util.find_spec("priority"):
        return
    sys.modules[name] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import twisted.web.http  # noqa: F401 - for the effect
    finally:
        del sys.modules[name]


_load_http1()
