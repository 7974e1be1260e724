"""DiscoveryChain.*: not supported, fails (docs/wire/rpc.md 6)."""

from typing import TYPE_CHECKING

from consulpy.errors import RPCError
from consulpy.rpc.methods import read
from consulpy.state.watch import WatchSet
from consulpy.structs.connect_ca import DISABLED
from consulpy.structs.requests import Read, Reply

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


@read("DiscoveryChain.Get", Read, Reply)
def get(server: "Server", request: Read, watch: WatchSet | None) -> Reply:  # noqa: ARG001
    """Fail a read."""
    raise RPCError(DISABLED)
