"""Port 8300: the listener, and the connections that we make (docs/wire/rpc.md 1, 2).

0 plain calls | 1 Raft | 3 TLS | 4 yamux | 5 snapshot       everything else: closed
"""

from consulpy.rpc.net.dialer import Dialer
from consulpy.rpc.net.listener import RpcService

__all__ = ["Dialer", "RpcService"]
