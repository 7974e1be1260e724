"""Random config entries of a few services."""

import random
from typing import Any

NAMES = ("a", "b", "c", "d")
SUBSETS = ("v1", "v2")
#: Kinds of entries that belong to one name.
KINDS = ("service-defaults", "service-resolver", "service-splitter", "service-router", "ingress-gateway")


class Entries:
    """Random config entries of a few services, most of them valid."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def maybe(self, value: Any, chance: float = 0.5) -> Any:
        return value if self.random.random() < chance else ""

    def name(self) -> str:
        return self.random.choice(NAMES)

    def subset(self) -> str:
        return self.random.choice(SUBSETS)

    def entry(self) -> dict[str, Any]:
        kinds = [self.defaults, self.proxies, self.resolver, self.splitter, self.router, self.ingress]
        weights = (3, 1, 4, 4, 3, 1)
        made: dict[str, Any] = self.random.choices(kinds, weights)[0]()
        return made

    def defaults(self) -> dict[str, Any]:
        return {
            "Kind": "service-defaults",
            "Name": self.name(),
            "Protocol": self.random.choice(("http", "http", "http", "tcp", "grpc", "")),
            "MeshGateway": {"Mode": self.maybe(self.random.choice(("local", "remote", "none")), 0.3)},
            "ExternalSNI": self.maybe("outside.example", 0.1),
        }

    def proxies(self) -> dict[str, Any]:
        return {
            "Kind": "proxy-defaults",
            "Name": "global",
            "Config": {"protocol": self.random.choice(("http", "http", "http", "tcp", "HTTP2", 7, ""))},
            "MeshGateway": {"Mode": self.maybe("local", 0.3)},
        }

    def resolver(self) -> dict[str, Any]:
        made: dict[str, Any] = {"Kind": "service-resolver", "Name": self.name()}
        if self.maybe(True):
            made["Subsets"] = {
                name: {"Filter": self.maybe("Service.Meta.v == 1"), "OnlyPassing": bool(self.maybe(True))}
                for name in SUBSETS
                if self.maybe(True, 0.8)
            }
            made["DefaultSubset"] = self.maybe(self.subset(), 0.3)
        if self.maybe(True, 0.3):
            made["ConnectTimeout"] = self.random.choice(("3s", "0s", "150ms"))
        if self.maybe(True, 0.3):
            made["Redirect"] = {
                "Service": self.maybe(self.name(), 0.8),
                "ServiceSubset": self.maybe(self.subset(), 0.2),
                "Namespace": self.maybe("other", 0.1),
                "Datacenter": self.maybe("dc2", 0.3),
            }
        elif self.maybe(True, 0.4):
            made["Failover"] = {
                self.random.choice(("*", *SUBSETS)): {
                    "Service": self.maybe(self.name()),
                    "ServiceSubset": self.maybe(self.subset(), 0.3),
                    "Namespace": self.maybe("other", 0.1),
                    "Datacenters": self.random.choice(([], ["dc2"], ["dc1", "dc3"])),
                }
            }
        return made

    def splitter(self) -> dict[str, Any]:
        names = self.random.sample(("", *NAMES), self.random.randint(1, 3))
        weights = {1: (100,), 2: (70, 30), 3: (40, 40, 20)}[len(names)]  # no product is rounded
        return {
            "Kind": "service-splitter",
            "Name": self.name(),
            "Splits": [
                {
                    "Weight": weight,
                    "Service": name,
                    "ServiceSubset": self.maybe(self.subset(), 0.2),
                    "Namespace": self.maybe("other", 0.1),
                }
                for weight, name in zip(weights, names, strict=True)
            ],
        }

    def router(self) -> dict[str, Any]:
        return {
            "Kind": "service-router",
            "Name": self.name(),
            "Routes": [
                {
                    "Match": {
                        "HTTP": {"PathPrefix": f"/{number}", "Methods": ["get"] if self.maybe(True, 0.2) else []}
                    },
                    "Destination": {
                        "Service": self.maybe(self.name(), 0.8),
                        "ServiceSubset": self.maybe(self.subset(), 0.2),
                        "Namespace": self.maybe("other", 0.1),
                    },
                }
                for number in range(self.random.randint(0, 3))
            ],
        }

    def ingress(self) -> dict[str, Any]:
        return {
            "Kind": "ingress-gateway",
            "Name": self.random.choice(("gate", *NAMES)),
            "Listeners": [
                {
                    "Port": 8080,
                    "Protocol": self.random.choice(("http", "http", "tcp")),
                    "Services": [{"Name": self.random.choice(("*", *NAMES))}],
                }
            ],
        }
