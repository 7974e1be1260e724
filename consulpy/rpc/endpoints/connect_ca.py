"""ConnectCA.*: not supported, all of them fail (docs/wire/rpc.md 6)."""

from typing import TYPE_CHECKING

from consulpy.errors import RPCError
from consulpy.rpc.methods import read, write
from consulpy.state.watch import WatchSet
from consulpy.structs.requests import Read, Reply, SpecificRequest, Write

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

DISABLED = "Connect must be enabled in order to use this endpoint"


@read("ConnectCA.Roots", SpecificRequest, Reply)
@read("ConnectCA.ConfigurationGet", SpecificRequest, Reply)
def refuse_read(server: "Server", request: Read, watch: WatchSet | None) -> Reply:  # noqa: ARG001
    """Fail a read."""
    raise RPCError(DISABLED)


@write("ConnectCA.ConfigurationSet", Write, Reply)
@write("ConnectCA.Sign", Write, Reply)
@write("ConnectCA.SignIntermediate", Write, Reply)
def refuse_write(server: "Server", request: Write) -> Reply:  # noqa: ARG001
    """Fail a write."""
    raise RPCError(DISABLED)
