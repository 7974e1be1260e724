"""RPC over TCP: the listener of port 8300, and the dialer (docs/wire/rpc.md 1, 2).

First byte: 0 plain calls | 1 Raft | 3 TLS | 4 yamux | 5 snapshot; other connections are closed.
"""

from consulpy.rpc.net.dialer import Dialer
from consulpy.rpc.net.listener import RpcService

__all__ = ["Dialer", "RpcService"]
