"""UDP and TCP of the DNS door: packets in, packets out; the caches first."""

from consulpy.dns.transport.service import DnsService

__all__ = ["DnsService"]
