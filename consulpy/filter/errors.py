"""The error of filter expressions."""

from consulpy.errors import RPCError


class FilterError(RPCError):
    """An expression that is invalid, or does not fit the record type; HTTP 500, as in Consul."""
