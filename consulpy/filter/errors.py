"""What is wrong with a filter expression."""

from consulpy.errors import RPCError


class FilterError(RPCError):
    """An expression that can't be read, or doesn't fit the records it is for; HTTP 500, as Consul answers."""
