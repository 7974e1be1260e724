"""The records that Consul's Go client decodes, as it writes them again: watches give these, not what the agent sent.

All fields in the order of the struct, with zero values where the agent sent none; fields that the client of 1.8.7 does
not know are left out. Source: `api` of Consul 1.8.7.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from consulpy.gocompat.duration import format_duration_ns, parse_duration_ns

#: Makes a value of a Go type from what the agent sent, None if nothing.
Shape = Callable[[Any], Any]

#: What `omitempty` leaves out; a struct never is.
_EMPTY: Final = (None, "", 0, False)


def _text(value: Any) -> Any:
    return value or ""


def _number(value: Any) -> Any:
    return value or 0


def _switch(value: Any) -> bool:
    return bool(value)


def _any(value: Any) -> Any:
    """A value as it is, with sorted keys: Go's maps are written so."""
    if isinstance(value, dict):
        return {key: _any(value[key]) for key in sorted(value)}
    return [_any(one) for one in value] if isinstance(value, list) else value


def _duration(value: Any) -> str:
    """A text, or a number of nanoseconds. Raises `DurationError`, a `ValueError`."""
    return format_duration_ns(parse_duration_ns(value) if isinstance(value, str) else int(value or 0))


def _struct(fields: Mapping[str, Shape]) -> Shape:
    """A struct; names with `omitempty` end with a question mark. All empty values are one object: never change it."""
    parts = [(name.rstrip("?"), name.endswith("?"), shape) for name, shape in fields.items()]

    def shown(value: Any) -> dict[str, Any]:
        found = {}
        for name, is_optional, shape in parts:
            one = shape(value.get(name))
            if not is_optional or one not in _EMPTY:
                found[name] = one
        return found

    empty = shown({})
    return lambda value: shown(value) if value else empty


def _pointer(shape: Shape) -> Shape:
    return lambda value: None if value is None else shape(value)


def _list(shape: Shape) -> Shape:
    return lambda value: None if value is None else [shape(one) for one in value]


def _map(shape: Shape) -> Shape:
    return lambda value: None if value is None else {key: shape(value[key]) for key in sorted(value)}


def _some(shape: Shape) -> Shape:
    """A list or map that `omitempty` leaves out without elements."""
    return lambda value: shape(value) if value else None


_NODE: Final = _struct(
    {
        "ID": _text,
        "Node": _text,
        "Address": _text,
        "Datacenter": _text,
        "TaggedAddresses": _any,
        "Meta": _any,
        "CreateIndex": _number,
        "ModifyIndex": _number,
    }
)
_MESH_GATEWAY: Final = _struct({"Mode?": _text})
_UPSTREAM: Final = _struct(
    {
        "DestinationType?": _text,
        "DestinationNamespace?": _text,
        "DestinationName": _text,
        "Datacenter?": _text,
        "LocalBindAddress?": _text,
        "LocalBindPort?": _number,
        "Config?": _some(_any),
        "MeshGateway": _MESH_GATEWAY,
    }
)
_EXPOSED_PATH: Final = _struct(
    {
        "ListenerPort?": _number,
        "Path?": _text,
        "LocalPathPort?": _number,
        "Protocol?": _text,
        "ParsedFromCheck": _switch,
    }
)
_PROXY: Final = _struct(
    {
        "DestinationServiceName?": _text,
        "DestinationServiceID?": _text,
        "LocalServiceAddress?": _text,
        "LocalServicePort?": _number,
        "Config?": _some(_any),
        "Upstreams?": _some(_list(_UPSTREAM)),
        "MeshGateway": _MESH_GATEWAY,
        "Expose": _struct({"Checks?": _switch, "Paths?": _some(_list(_EXPOSED_PATH))}),
    }
)
_SERVICE: Final = _struct(
    {
        "Kind?": _text,
        "ID": _text,
        "Service": _text,
        "Tags": _any,
        "Meta": _any,
        "Port": _number,
        "Address": _text,
        "TaggedAddresses?": _some(_map(_struct({"Address": _text, "Port": _number}))),
        "Weights": _struct({"Passing": _number, "Warning": _number}),
        "EnableTagOverride": _switch,
        "CreateIndex?": _number,
        "ModifyIndex?": _number,
        "ContentHash?": _text,
        "Proxy?": _pointer(_PROXY),
        "Connect?": _pointer(_struct({"Native?": _switch, "SidecarService?": _any})),
        "Namespace?": _text,
    }
)
_DEFINITION: Final = _struct(
    {
        "Interval": _duration,
        "Timeout": _duration,
        "DeregisterCriticalServiceAfter": _duration,
        "HTTP": _text,
        "Header": _any,
        "Method": _text,
        "Body": _text,
        "TLSSkipVerify": _switch,
        "TCP": _text,
    }
)
_CHECK: Final = _struct(
    {
        "Node": _text,
        "CheckID": _text,
        "Name": _text,
        "Status": _text,
        "Notes": _text,
        "Output": _text,
        "ServiceID": _text,
        "ServiceName": _text,
        "ServiceTags": _any,
        "Type": _text,
        "Namespace?": _text,
        "Definition": _DEFINITION,
        "CreateIndex": _number,
        "ModifyIndex": _number,
    }
)
_KEY: Final = _struct(
    {
        "Key": _text,
        "CreateIndex": _number,
        "ModifyIndex": _number,
        "LockIndex": _number,
        "Flags": _number,
        "Value": _any,
        "Session": _text,
        "Namespace?": _text,
    }
)
_EVENT: Final = _struct(
    {
        "ID": _text,
        "Name": _text,
        "Payload": _any,
        "NodeFilter": _text,
        "ServiceFilter": _text,
        "TagFilter": _text,
        "Version": _number,
        "LTime": _number,
    }
)
_INSTANCE: Final = _struct({"Node": _pointer(_NODE), "Service": _pointer(_SERVICE), "Checks": _list(_CHECK)})

#: The result of a watch from the agent's answer, by type; of the others it is the answer.
RESULTS: Final[dict[str, Shape]] = {
    "key": lambda found: _KEY(found[0]) if found else None,
    "keyprefix": _list(_KEY),
    "services": _any,
    "nodes": _list(_NODE),
    "service": _list(_INSTANCE),
    "checks": _list(_CHECK),
    "event": _list(_EVENT),
}
