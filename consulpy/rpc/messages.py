"""Requests and responses on a stream: pairs of msgpack objects, without lengths (docs/wire/rpc.md 3).

request  = {"Seq": uint, "ServiceMethod": "Catalog.Register"}, then its body
response = {"Error": text, "Seq": uint, "ServiceMethod": text}, then its body (of an error: see `acl.denied`)
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import msgpack

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import extension, pack, text
from consulpy.codec.record import Record, record_lists
from consulpy.errors import WireError

#: The largest request that a server takes, header and body together, in bytes (the largest of Consul's own are
#: transactions: 64 values of 512 kB would be 32 MB, but real ones are limited to 512 kB in all by default).
MAX_REQUEST_BYTES: Final = 32 * 2**20
#: The largest response that a caller takes, in bytes.
MAX_RESPONSE_BYTES: Final = 512 * 2**20
#: Replies with more than PART_ROWS records are packed in parts of PART_BYTES; a caller decodes replies with more than
#: LARGE_ROWS in a thread.
PART_ROWS: Final = 64
LARGE_ROWS: Final = 4096
PART_BYTES: Final = 512 * 1024
#: Maps and lists in one request, and values in one of them; more are refused. A few bytes on the wire can be many in
#: memory, and a list is allocated with its announced length.
MAX_CONTAINERS: Final = 2**17
MAX_LENGTH: Final = 2**16
#: Initial buffer of an unpacker, in bytes (msgpack's default is 1 MiB).
_READ_SIZE: Final = 4096
#: Memory of an unpacker, in bytes (measured).
UNPACKER_BYTES: Final = 44 * 2**10
#: Type bytes of `bin` (newer msgpack), which Go's decoder refuses.
_BIN: Final = re.compile(rb"[\xc4-\xc6]").search
#: Unpackers of idle streams that are used again, for each kind.
_FREE_MAX: Final = 4
_FREE: Final[dict[tuple[int, bool], list[Any]]] = {}


@dataclass(slots=True)
class RequestHeader(Record):
    """Header of a request."""

    seq: int = 0
    service_method: str = ""


@dataclass(slots=True)
class ResponseHeader(Record):
    """Header of a response; an empty `error` means success."""

    error: str = ""
    seq: int = 0
    service_method: str = ""


#: Headers up to the number of the call: what `RequestHeader.pack` and `ResponseHeader.pack` begin with.
_REQUEST: Final = b"\x82\xa3Seq"
_SUCCESS: Final = b"\x83\xa5Error\xa0\xa3Seq"


@lru_cache(512)
def _method_field(method: str) -> bytes:
    return pack("ServiceMethod") + pack(method)


def request(seq: int, method: str, body: bytes) -> bytes:
    """A whole request."""
    return _REQUEST + pack(seq) + _method_field(method) + body


def response(seq: int, method: str, body: bytes) -> bytes:
    """A whole successful response."""
    return _SUCCESS + pack(seq) + _method_field(method) + body


def error_response(seq: int, method: str, error: str, details: dict[str, str] | None = None) -> bytes:
    """A whole error response. `details`: its body, which only consulpy reads."""
    return ResponseHeader(error, seq, method).pack() + (pack(details) if details else b"\x80")


def wire_value(reply: Any) -> Any:
    """A reply as msgpack values: of a record, a list of records, or a bare value."""
    if isinstance(reply, Record):
        return reply.to_wire()
    if isinstance(reply, list | tuple):
        return [wire_value(each) for each in reply]
    return reply


def pack_reply(reply: Any) -> bytes:
    """The body of a response."""
    return pack(wire_value(reply))


def reply_parts(reply: Any) -> Iterator[bytes] | None:
    """The body of a response with a list of more than `PART_ROWS` records, in parts of about `PART_BYTES`; else None.

    Parts are packed lazily: records of a reply are never changed.
    """
    large = _large_list(reply)
    return None if large is None else _parts(reply, *large)


def _parts(reply: Record, name: str, key: str) -> Iterator[bytes]:
    rest = reply.copied()
    setattr(rest, name, [])
    fields = rest.to_wire()
    packer = msgpack.Packer(use_bin_type=False, unicode_errors="surrogateescape")
    part = bytearray(packer.pack_map_header(len(fields)))
    for field, value in fields.items():
        part += packer.pack(field)
        if field != key:
            part += packer.pack(value)
            continue
        rows = getattr(reply, name)
        part += packer.pack_array_header(len(rows))
        for row in rows:
            part += packer.pack(row.to_wire())
            if len(part) >= PART_BYTES:
                yield bytes(part)
                part.clear()
    yield bytes(part)


def _large_list(reply: Any) -> tuple[str, str] | None:
    if isinstance(reply, Record):
        for name, key in record_lists(type(reply)):
            if len(getattr(reply, name) or ()) > PART_ROWS:
                return name, key
    return None


def is_large(raw: Any) -> bool:
    """Whether an unpacked reply has more than `LARGE_ROWS` records."""
    return isinstance(raw, dict) and any(isinstance(each, list) and len(each) > LARGE_ROWS for each in raw.values())


def reply_of(kind: Any, raw: Any) -> Any:
    """An unpacked reply as `kind`: a record, `str`, `bool`, `list`, or None for nil. Raises `WireError`."""
    if kind is None and raw is None:
        return None
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_wire(raw)
    if kind is str and isinstance(raw, bytes):
        return text(raw)
    if kind is list and raw is None:
        return []
    if kind is list and isinstance(raw, list):
        return [text(each) if isinstance(each, bytes) else each for each in raw]
    if isinstance(kind, type) and isinstance(raw, kind):
        return raw
    raise WireError(f"a {getattr(kind, '__name__', kind)} was expected, not {type(raw).__name__}")


class ObjectReader:
    """Cuts a stream of bytes, in any slicing, into msgpack objects.

    `limit`: maximum size of an object, in bytes. `strict`: for requests; refuses types that Go refuses, and objects
    that need far more memory than bytes on the wire. The unpacker exists only while an object is incomplete.
    """

    __slots__ = ("_buffer", "_containers", "_end", "_limit", "_start", "_strict", "_unpacker")

    def __init__(self, limit: int, *, strict: bool = False) -> None:
        self._limit = limit
        self._strict = strict
        # Where the objects end is counted here, from the end of the one before: the unpacker's own count of what is
        # in its buffer is of no use after a partial object.
        self._start = 0
        self._end = 0
        self._buffer = bytearray()
        self._containers: _Containers | None = None
        self._unpacker: Any = None

    @property
    def buffered(self) -> int:
        """Bytes of an incomplete object."""
        return self._end - self._start

    @property
    def memory_bytes(self) -> int:
        """Memory of an incomplete object, in bytes."""
        return 2 * self.buffered + (UNPACKER_BYTES if self._unpacker is not None else 0)

    def feed(self, data: bytes) -> None:
        """Add bytes. Raises `WireError` when an object exceeds the limit."""
        if self._unpacker is None:
            self._borrow()
        self._end += len(data)
        if self._strict:
            self._buffer += data
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull:
            raise WireError(f"a message of more than {self._limit} bytes") from None

    def next(self) -> tuple[Any, int] | None:
        """The next object and its size in bytes, or None if it is incomplete. Raises `WireError` for bad msgpack."""
        if self._end == self._start:
            return None
        try:
            value = self._unpacker.unpack()
        except msgpack.OutOfData:
            if self.buffered > self._limit:
                raise WireError(f"a message of more than {self._limit} bytes") from None
            return None
        except (ValueError, TypeError, RecursionError, MemoryError, msgpack.UnpackException) as error:
            raise WireError(f"msgpack: {str(error) or type(error).__name__}") from None
        size = self._unpacker.tell() - self._start
        self._start += size
        if self._strict:
            raw = bytes(memoryview(self._buffer)[:size])
            del self._buffer[:size]
            assert self._containers is not None
            self._containers.count = 0
            if _BIN(raw):
                _refuse_bin(raw)
        if self._start == self._end:  # most streams are idle for most of the time
            self._give_back(size)
        return value, size

    def _borrow(self) -> None:
        """An unpacker that has read all of what it was given before: another one's, or a new one."""
        free = _FREE.get((self._limit, self._strict))
        if free:
            self._unpacker, self._containers = free.pop()
        else:
            self._containers = _Containers()
            self._unpacker = self._new_unpacker()
        self._start = self._end = self._unpacker.tell()

    def _give_back(self, size: int) -> None:
        free = _FREE.setdefault((self._limit, self._strict), [])
        if len(free) < _FREE_MAX and size <= _READ_SIZE:  # its buffer has not grown
            free.append((self._unpacker, self._containers))
        self._unpacker = None

    def _new_unpacker(self) -> Any:
        size = self._limit + WINDOW_SLACK
        if not self._strict:
            return msgpack.Unpacker(
                raw=True, strict_map_key=False, ext_hook=extension, read_size=_READ_SIZE, max_buffer_size=size
            )
        return msgpack.Unpacker(
            raw=True,
            strict_map_key=False,
            ext_hook=extension,
            read_size=_READ_SIZE,
            max_buffer_size=size,
            object_hook=self._containers,
            list_hook=self._containers,
            max_array_len=MAX_LENGTH,
            max_map_len=MAX_LENGTH,
        )


class _Containers:
    """Counts the maps and lists of one object."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, container: Any) -> Any:
        self.count += 1
        if self.count > MAX_CONTAINERS:
            raise ValueError(f"more than {MAX_CONTAINERS} maps and lists in one message")
        return container


#: Input that may follow an object, in bytes.
WINDOW_SLACK: Final = 2**20


def _refuse_bin(raw: bytes) -> None:
    """Refuse `bin`, which Go's old decoder does not know; in texts these bytes are allowed."""
    decoder = msgpack.Unpacker(
        raw=False, strict_map_key=False, ext_hook=extension, unicode_errors="surrogateescape", max_buffer_size=len(raw)
    )
    decoder.feed(raw)
    stack = [decoder.unpack()]
    while stack:
        value = stack.pop()
        if isinstance(value, bytes):
            raise WireError("readContainerLen: Unrecognized descriptor byte: hex: c4, dec: 196")
        if isinstance(value, dict):
            stack += value.keys()
            stack += value.values()
        elif isinstance(value, list):
            stack += value
