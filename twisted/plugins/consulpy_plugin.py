"""Makes `twistd consulpy` known to Twisted."""

from twisted.application.service import ServiceMaker

consulpy = ServiceMaker("consulpy", "consulpy.service", "The open, Consul-compatible agent", "consulpy")
