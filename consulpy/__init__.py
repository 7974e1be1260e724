"""consulpy: the open, Consul-compatible agent in Python on Twisted.

Read `consulpy.agent` first; `docs/architecture.md` follows a datagram and a request through the files.
"""

from typing import Final

#: The version of this program.
VERSION: Final = "0.1.0"

#: The version of Consul whose wire and answers we speak; it is what peers read from our `build` tag.
CONSUL_VERSION: Final = "1.8.7"
