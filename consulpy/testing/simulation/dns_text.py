"""DNS questions and answers of a simulation as text."""

from typing import Any, Final

from twisted.names import dns

_TYPES: Final = {name: number for number, name in dns.QUERY_TYPES.items()} | {"ANY": 255}


def question(name: str, kind: str) -> bytes:
    """A packet that asks for records of a type, as `A` or `SRV`. Raises `ValueError` for an unknown type."""
    number = _TYPES.get(kind.upper())
    if number is None:
        raise ValueError(f"there is no DNS type {kind!r}")
    message = dns.Message(1, recDes=1)
    message.addQuery(name.rstrip(".").encode(), number)
    return bytes(message.toStr())


def records(packet: bytes) -> list[str]:
    """The answers in a packet, each as `dig +short` shows it."""
    message = dns.Message()
    message.fromStr(packet)
    return [_text(record.payload) for record in message.answers]


def _text(record: Any) -> str:
    if isinstance(record, dns.Record_A | dns.Record_AAAA):
        return str(record.dottedQuad() if isinstance(record, dns.Record_A) else _ipv6(record))
    if isinstance(record, dns.Record_SRV):
        return f"{record.priority} {record.weight} {record.port} {_name(record.target)}"
    if isinstance(record, dns.Record_TXT):
        return " ".join(f'"{part.decode("utf-8", "replace")}"' for part in record.data)
    if isinstance(record, dns.SimpleRecord):
        return _name(record.name)
    if isinstance(record, dns.Record_SOA):
        numbers = (record.serial, record.refresh, record.retry, record.expire, record.minimum)
        return " ".join((_name(record.mname), _name(record.rname), *map(str, numbers)))
    return str(record)


def _ipv6(record: Any) -> str:
    import ipaddress

    return str(ipaddress.IPv6Address(record.address))


def _name(name: Any) -> str:
    return f"{name.name.decode('ascii', 'replace').rstrip('.')}."
