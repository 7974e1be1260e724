"""Settings of one proxy: the service that it represents, its listener, its upstreams. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from consulpy.errors import ConfigError

LOOPBACK: Final = "127.0.0.1"
PORT_MAX: Final = 65535
#: How long a connection to a service or an upstream may take, in seconds; settings name it in milliseconds.
CONNECT_TIMEOUT_S: Final = 10.0
#: How long a TLS handshake with a client of the proxy may take, in seconds.
HANDSHAKE_TIMEOUT_S: Final = 10.0
SERVICE, PREPARED_QUERY = "service", "prepared_query"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service that is reached through `bind_address:bind_port`. `kind`: `service` or `prepared_query`."""

    name: str
    bind_port: int
    bind_address: str = LOOPBACK
    kind: str = SERVICE
    datacenter: str = ""
    connect_timeout_s: float = CONNECT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`service`: whose certificate is used. `listen_port` 0: no inbound connections.

    `local_address`: "host:port" of the service behind the proxy.
    """

    service: str
    listen_address: str = ""
    listen_port: int = 0
    local_address: str = ""
    upstreams: tuple[Upstream, ...] = ()
    local_connect_timeout_s: float = CONNECT_TIMEOUT_S
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S


def upstream_of(text: str) -> Upstream:
    """An upstream of a flag: `NAME:PORT` or `NAME:ADDRESS:PORT`. Raises `ValueError` with Consul's text."""
    name, colon, address = text.partition(":")
    if not colon:
        raise ValueError(f'Upstream value should be name:addr in "{text}"')
    host, port = split_address(address if ":" in address else f":{address}")
    return Upstream(name, port, host or LOOPBACK)


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[host]:port` or `:port`. Raises `ValueError` with Go's text."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"address {text}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"address {text}: too many colons in address")
    if not port.isascii() or not port.isdigit():
        raise ValueError(f'strconv.Atoi: parsing "{port}": invalid syntax')
    if len(port) > 10 or int(port) > PORT_MAX:
        raise ValueError(f"port {port} is out of range (0 to {PORT_MAX})")
    return host, int(port)


def of_definition(registered: Mapping[str, Any]) -> ProxySettings:
    """The settings of a registered proxy, as `/v1/agent/service/ID` shows it. Raises `ConfigError`."""
    proxy = registered.get("Proxy") or {}
    if registered.get("Kind") != "connect-proxy" or not proxy.get("DestinationServiceName"):
        raise ConfigError(f"{registered.get('ID')} is not a connect-proxy")
    config = proxy.get("Config") or {}
    local = str(config.get("local_service_address") or "")
    if not local and proxy.get("LocalServicePort"):
        local = f"{proxy.get('LocalServiceAddress') or LOOPBACK}:{proxy['LocalServicePort']}"
    return ProxySettings(
        service=proxy["DestinationServiceName"],
        listen_address=str(config.get("bind_address") or registered.get("Address") or "0.0.0.0"),
        listen_port=int(config.get("bind_port") or registered.get("Port") or 0),
        local_address=local,
        upstreams=tuple(_upstream(each) for each in proxy.get("Upstreams") or ()),
        local_connect_timeout_s=_seconds(config, "local_connect_timeout_ms", CONNECT_TIMEOUT_S),
        handshake_timeout_s=_seconds(config, "handshake_timeout_ms", HANDSHAKE_TIMEOUT_S),
    )


def _upstream(raw: Mapping[str, Any]) -> Upstream:
    return Upstream(
        name=raw["DestinationName"],
        bind_port=int(raw.get("LocalBindPort") or 0),
        bind_address=raw.get("LocalBindAddress") or LOOPBACK,
        kind=raw.get("DestinationType") or SERVICE,
        datacenter=raw.get("Datacenter") or "",
        connect_timeout_s=_seconds(raw.get("Config") or {}, "connect_timeout_ms", CONNECT_TIMEOUT_S),
    )


def _seconds(config: Mapping[str, Any], name: str, default_s: float) -> float:
    value = config.get(name)
    try:
        return float(value) / 1000 if value else default_s
    except (TypeError, ValueError):
        raise ConfigError(f"{name}: expected a number of milliseconds, not {value!r}") from None
