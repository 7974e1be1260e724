"""Configuration of the DNS listener."""

from collections.abc import Mapping
from dataclasses import field

from consulpy.codec.lazy_dataclass import dataclass


@dataclass(frozen=True)
class SoaConfig:
    """Fields of the SOA record, in seconds. `min_ttl_s` is also the record's TTL, and so that of negative answers."""

    refresh_s: int = 3600
    retry_s: int = 600
    expire_s: int = 86400
    min_ttl_s: int = 0


@dataclass(frozen=True)
class DnsConfig:
    """Settings of DNS answers, as in Consul's `dns_config`.

    `domain`, `alt_domain`: with or without the dot at the end; `alt_domain` "" for none. `addresses`, `port`: where UDP
    and TCP listen. `recursors`: "IP" or "IP:PORT". `service_ttl_s`: by service name; "web*" and "*" match by prefix.
    `udp_answer_limit`: most records in a UDP answer to a client without EDNS (never more than 8). `a_record_limit`:
    most A or AAAA records in any answer, 0 for all.
    """

    datacenter: str = "dc1"
    node_name: str = ""
    domain: str = "consul."
    alt_domain: str = ""
    addresses: tuple[str, ...] = ("127.0.0.1",)
    translate_wan_addrs: bool = False
    port: int = 8600
    recursors: tuple[str, ...] = ()
    recursor_timeout_s: float = 2.0
    #: Whether recursors are asked in random order.
    random_recursors: bool = False
    node_ttl_s: float = 0.0
    service_ttl_s: Mapping[str, float] = field(default_factory=dict)
    udp_answer_limit: int = 3
    a_record_limit: int = 0
    only_passing: bool = False
    enable_truncate: bool = False
    disable_compression: bool = False
    node_meta_txt: bool = True
    allow_stale: bool = True
    max_stale_s: float = 87600 * 3600.0
    #: Whether a client agent answers from its agent cache, and the age in seconds above which it does not (0: any age).
    use_cache: bool = False
    cache_max_age_s: float = 0.0
    soa: SoaConfig = field(default_factory=SoaConfig)

    @property
    def labels(self) -> tuple[str, ...]:
        """The domain's labels, in lower case."""
        return split(self.domain)

    def domains(self) -> list[tuple[str, ...]]:
        """The labels of `domain` and `alt_domain`, the longest first."""
        found = {split(domain) for domain in (self.domain, self.alt_domain) if split(domain)}
        return sorted(found, key=len, reverse=True)

    def ttl_of_service(self, name: str) -> int:
        """TTL in seconds of answers about a service: by its name, else by the longest matching prefix."""
        exact = self.service_ttl_s.get(name)
        if exact is not None:
            return int(exact)
        prefixes = [key for key in self.service_ttl_s if key.endswith("*") and name.startswith(key[:-1])]
        return int(self.service_ttl_s[max(prefixes, key=len)]) if prefixes else 0


def split(name: str) -> tuple[str, ...]:
    """`Node.Consul.` -> `("node", "consul")`."""
    return tuple(label for label in name.lower().split(".") if label)
