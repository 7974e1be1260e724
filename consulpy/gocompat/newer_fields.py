"""Fields of Consul versions after 1.8.7 in HTTP request bodies, by struct, with the version that added them.

Newer client libraries always send some of them. A field of this table is accepted while its value is empty; another
value is refused, with name and version, unless the field is honoured (those of checks, templated policies). Unknown
names are refused by the decoders. Sources: Consul's changelog, and the public `api` package of versions 1.9 to 1.22.
"""

from collections.abc import Mapping
from typing import Any, Final

#: Enterprise fields of all structs.
_TENANCY: Final = {"Namespace": "1.7 Enterprise", "Partition": "1.11 Enterprise"}
_CATALOG: Final = _TENANCY | {"PeerName": "1.14", "Locality": "1.16"}
_CHECK: Final = {
    "H2PING": "1.10",
    "H2PingUseTLS": "1.10",
    "TLSServerName": "1.10",
    "FailuresBeforeWarning": "1.11",
    "DisableRedirects": "1.11.5",
    "UDP": "1.13",
    "TCPUseTLS": "1.16.2",
    "OSService": "1.16",
}
_ENTRY: Final = _TENANCY | {"Hash": "1.19"}

#: Struct -> field -> version. Structs are named as our records.
NEWER: Final[dict[str, dict[str, str]]] = {
    "RegisterRequest": _CATALOG,
    "DeregisterRequest": _CATALOG,
    "Node": _CATALOG,
    "NodeService": _CATALOG | {"SocketPath": "1.10", "Ports": "1.22"},
    "HealthCheck": _CATALOG | {"ExposedPort": "1.10", "Interval": "1.10", "Timeout": "1.10"},
    "CheckDefinition": _CHECK,
    "CheckType": _TENANCY | {"ExposedPort": "1.10"},
    "ServiceConnect": {"PeerMeta": "1.14"},
    "ConnectProxy": {
        "Mode": "1.10",
        "TransparentProxy": "1.10",
        "LocalServiceSocketPath": "1.10",
        "AccessLogs": "1.15",
        "EnvoyExtensions": "1.15",
        "MutualTLSMode": "1.16",
    },
    "Upstream": {
        "CentrallyConfigured": "1.10",
        "LocalBindSocketPath": "1.10",
        "LocalBindSocketMode": "1.10",
        "DestinationPartition": "1.11 Enterprise",
        "DestinationPeer": "1.13",
    },
    "Session": _TENANCY,
    "ServiceCheck": _TENANCY,
    "KVOp": _TENANCY,
    "PreparedQuery": _TENANCY,
    "QueryService": _TENANCY | {"Peer": "1.14", "SamenessGroup": "1.16 Enterprise"},
    "QueryFailover": {"Targets": "1.14"},
    "Intention": {
        "Permissions": "1.9",
        "SourcePartition": "1.11 Enterprise",
        "DestinationPartition": "1.11 Enterprise",
        "SourcePeer": "1.14",
        "SourceSamenessGroup": "1.16 Enterprise",
    },
    "AuthorizeBody": _TENANCY | {"TargetNamespace": "1.7 Enterprise", "TargetPartition": "1.11 Enterprise"},
    "Token": _TENANCY | {"AuthMethodNamespace": "1.7 Enterprise", "TemplatedPolicies": "1.17"},
    "Policy": _TENANCY,
    "Role": _TENANCY | {"TemplatedPolicies": "1.17"},
    "BindingRule": _TENANCY | {"BindVars": "1.18"},
    "AuthMethod": _TENANCY | {"NamespaceRules": "1.8 Enterprise", "TokenNameFormat": "1.9 or later"},
    "LoginParams": _TENANCY,
    "AuthorizationQuestion": _TENANCY,
    "Coordinate": {"Partition": "1.11 Enterprise"},
    # config entries
    "ServiceDefaults": _ENTRY | {"RateLimits": "1.17"},
    "ProxyDefaults": _ENTRY,
    "UpstreamSettings": _TENANCY,
    "ServiceRouter": _ENTRY,
    "RouteDestination": {"Partition": "1.11 Enterprise"},
    "ServiceSplitter": _ENTRY,
    "Split": {"Partition": "1.11 Enterprise"},
    "ServiceResolver": _ENTRY,
    "Redirect": {"Partition": "1.11 Enterprise", "Peer": "1.14", "SamenessGroup": "1.16 Enterprise"},
    "Failover": {"Targets": "1.14", "SamenessGroup": "1.16 Enterprise"},
    "IngressGateway": _ENTRY,
    "IngressService": _TENANCY,
    "TerminatingGateway": _ENTRY,
    "NewerEntry": _ENTRY,
    "ServiceIntentions": _ENTRY | {"JWT": "1.16", "TransparentProxy": "1.10"},
    "SourceIntention": _TENANCY | {"Permissions": "1.9", "Peer": "1.14", "SamenessGroup": "1.16 Enterprise"},
    "LinkedService": {"Namespace": "1.7 Enterprise"},
}

#: Name -> values that ask for what is so anyway.
_DEFAULTS: Final[Mapping[str, tuple[str, ...]]] = {
    "mode": ("direct", "none", "sequential"),
    "mutualtlsmode": ("strict",),
    "tlsminversion": ("TLS_AUTO",),
    "tlsmaxversion": ("TLS_AUTO",),
}
#: Made by servers from the rest, as indexes are.
_DERIVED: Final = ("hash",)
#: Enterprise names whose value `default` counts as empty.
_TENANTS: Final = ("namespace", "partition")
_ENTERPRISE: Final = {"namespace": "Namespaces are", "partition": "Partitions are"}


def fields_of(struct: str) -> Mapping[str, str]:
    """The newer fields of a struct: name in lower case without underscores -> version."""
    return {name.lower(): version for name, version in NEWER.get(struct, {}).items()}


def version_of(name: str, fields: Mapping[str, str]) -> str | None:
    """The version that added a name, None if there is none. `fields`: as returned by `fields_of`."""
    return fields.get(name.lower().replace("_", ""))


def is_empty_value(name: str, value: Any) -> bool:
    """Whether a value says nothing: null, "", 0, "0s", false, a default, a derived value, or a container of such
    values only.
    """
    if name.lower() in _DERIVED:
        return True
    if isinstance(value, dict):
        return value.get("Enabled") is False or all(is_empty_value(key, each) for key, each in value.items())
    if not isinstance(value, str):
        return not value
    plain = name.lower().replace("_", "")
    if value == "default":
        return plain.endswith(_TENANTS)
    return value in ("", "0s") or value in _DEFAULTS.get(plain, ())


def reason(name: str, version: str) -> str:
    """The error text for a field with a value."""
    plain = name.lower().replace("_", "")
    for tenant, words in _ENTERPRISE.items():
        if plain == tenant:
            return f"{words} a Consul Enterprise feature"
    return f"it came with Consul {version} and is not supported here"


def refusal(name: str, where: str, version: str) -> str:
    """The error text for a member of a config entry, at the path `where`, with a value."""
    words = reason(name, version)
    separator = ", " if words.endswith("feature") else " - "
    return f'invalid config key "{where}"{separator}{words[0].lower()}{words[1:]}'
