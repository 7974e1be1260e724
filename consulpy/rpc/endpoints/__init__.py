"""The RPC methods, one file for each of Consul's nouns. Importing this package registers them all."""

from consulpy.rpc.endpoints import catalog, coordinate, health, internal, operator, status

__all__ = ["catalog", "coordinate", "health", "internal", "operator", "status"]
