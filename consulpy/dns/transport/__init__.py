"""DNS over UDP and TCP: packets in, packets out; the packet caches first."""

from consulpy.dns.transport.service import DnsService

__all__ = ["DnsService"]
