"""Stream messages: push/pull, TCP ping and ack, user message, error; decoded incrementally, with limits.

A stream carries one message each way: `[label] [encrypted] [compressed] type body`. Source: docs/wire/gossip.md 3.2, 4,
11.
"""

from collections.abc import Generator, Sequence
from dataclasses import field
from typing import Any, Final

import msgpack

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import extension, pack
from consulpy.errors import WireError
from consulpy.memberlist import security
from consulpy.memberlist.messages import (
    COMPRESS,
    ENCRYPT,
    HAS_LABEL,
    PUSH_PULL,
    USER,
    Ack,
    Body,
    Err,
    Ping,
)
from consulpy.memberlist.node_state import NodeState, decode_nodes
from consulpy.memberlist.packet import Sealer, compressed, decompressed

#: Maximum bytes of a stream as received ...
STREAM_MAX_BYTES: Final = 20 * 1024 * 1024
#: ... and decompressed.
DECOMPRESSED_MAX_BYTES: Final = 40 * 1024 * 1024
#: Maximum decompression factor, beyond `DECOMPRESSED_MIN_BYTES`; no honest message exceeds it.
GROWTH_MAX: Final = 64
DECOMPRESSED_MIN_BYTES: Final = 1024 * 1024
#: Maximum compressed bytes: enough for about 60,000 members, and the longest that the reactor may be blocked.
COMPRESSED_MAX_BYTES: Final = 4 * 1024 * 1024
#: Maximum nodes of a push/pull.
NODES_MAX: Final = 1 << 17
#: Bytes above which what has come of a push/pull is not searched for whole nodes again with each further part.
_SEARCHED_MAX_BYTES: Final = 256 * 1024
#: Malformed nodes of a push/pull that are skipped; with more the whole message is refused.
BAD_NODES_MAX: Final = 100
#: Bytes below which a stream is not compressed.
COMPRESS_FROM_BYTES: Final = 512
#: Bytes above which a stream is not compressed, as it would block the reactor for longer than a probe timeout.
COMPRESS_TO_BYTES: Final = 64 * 1024


#: Messages that are a single struct.
_CLASSES: Final[dict[int, type[Ping | Ack | Err]]] = {Ping.TYPE: Ping, Ack.TYPE: Ack, Err.TYPE: Err}


@dataclass(slots=True)
class PushPull:
    """A member's whole state; request and reply have the same form."""

    join: bool
    nodes: list[NodeState] = field(default_factory=list)
    user_state: bytes = b""
    #: Errors of the nodes that were skipped.
    bad_nodes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class UserMessage:
    """A message for the delegate."""

    body: bytes


StreamMessage = PushPull | UserMessage | Ping | Ack | Err


def push_pull(join: bool, nodes: bytes, count: int, user_state: bytes) -> bytes:
    """Encode a push/pull message: `nodes` are `count` encoded node states, concatenated."""
    header = pack({"Join": join, "Nodes": count, "UserStateLen": len(user_state)})
    return bytes((PUSH_PULL,)) + header + nodes + user_state


def seal(sealer: Sealer, plain: bytes, compress_it: bool) -> bytes:
    """Compress, encrypt and label `plain` (type byte and body) for a stream."""
    if compress_it and COMPRESS_FROM_BYTES <= len(plain) <= COMPRESS_TO_BYTES:
        plain = compressed(plain)
    if sealer.keyring is not None and sealer.encrypts:
        length = security.OVERHEAD_BYTES + len(plain)
        header = bytes((ENCRYPT,)) + length.to_bytes(4, "big")
        plain = header + security.encrypt(sealer.keyring.ciphers[0], plain, header + sealer.label)
    return sealer.label_header + plain


class MessageReader:
    """Reads one stream message. `message` is set once `feed` has returned True."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._buffer_bytes = STREAM_MAX_BYTES
        self._fed_bytes = 0
        self._unpacker = _unpacker(STREAM_MAX_BYTES)
        self._size = 0
        self._in_plaintext = False
        self._steps = self._read()
        next(self._steps)
        self.message: StreamMessage | None = None
        #: Whether the message type was read: only errors before it are replied to.
        self.typed = False

    def feed(self, data: bytes) -> bool:
        """Process received bytes; True when the message is complete. Raises `WireError` for a malformed one."""
        if self.message is not None:
            return True
        self._size += len(data)
        if self._size > STREAM_MAX_BYTES:
            raise WireError(f"more than {STREAM_MAX_BYTES} bytes on a stream")
        try:
            if not self._in_plaintext:
                self._unpacker.feed(data)
                self._fed_bytes += len(data)
            self._steps.send(None)
        except StopIteration as end:
            self.message = end.value
            return True
        except (msgpack.BufferFull, msgpack.UnpackException, ValueError, TypeError, RecursionError) as error:
            raise WireError(f"msgpack: {error or type(error).__name__}") from None
        return False

    def close(self) -> None:
        """No more bytes will come. Breaks the reference cycle between unfinished steps and this object."""
        self._steps.close()

    # Each step is a generator that yields while bytes are missing.

    def _read(self) -> Generator[None, None, StreamMessage]:
        kind = yield from self._kind()
        label = b""
        if kind == HAS_LABEL:
            length = (yield from self._bytes(1))[0]
            label = yield from self._bytes(length)
            if not label:
                raise WireError("a label header without a label")
            kind = yield from self._kind()
        self._sealer.check_label(label)
        sealer = self._sealer
        if kind == ENCRYPT:
            if sealer.keyring is None:
                raise WireError("Remote state is encrypted and encryption is not configured")
            header = yield from self._bytes(4)
            length = int.from_bytes(header, "big")
            if length > STREAM_MAX_BYTES:
                raise WireError(f"Remote node state is larger than limit ({length})")  # the state was not read
            sealed = yield from self._bytes(length)
            additional = bytes((ENCRYPT,)) + header + sealer.label
            plain = security.decrypt(sealer.keyring.ciphers, sealed, additional)
            kind = self._continue_with(plain)
        elif sealer.keyring is not None and sealer.verify_incoming:
            raise WireError("Encryption is configured but remote state is not encrypted")
        if kind == COMPRESS:
            fields = yield from self._value()
            if self._size > COMPRESSED_MAX_BYTES:
                raise WireError(f"more than {COMPRESSED_MAX_BYTES} bytes are compressed")
            most = DECOMPRESSED_MIN_BYTES + GROWTH_MAX * self._size
            plain = decompressed(fields, min(most, DECOMPRESSED_MAX_BYTES))
            kind = self._continue_with(plain)
        self.typed = True
        return (yield from self._body(kind))

    def _continue_with(self, plain: bytes) -> int:
        """Continue with the complete `plain`; returns its type byte."""
        if not plain:
            raise WireError("an empty message")
        self._in_plaintext = True
        self._buffer_bytes = len(plain)
        self._restart(plain[1:])
        return plain[0]

    def _restart(self, data: bytes) -> None:
        """Go on with `data` in place of what is left."""
        self._unpacker = _unpacker(self._buffer_bytes)
        self._unpacker.feed(data)
        self._fed_bytes = len(data)

    def _body(self, kind: int) -> Generator[None, None, StreamMessage]:
        if kind == PUSH_PULL:
            return (yield from self._push_pull())
        if kind == USER:
            header = Body((yield from self._value()), ("UserMsgLen",))
            return UserMessage((yield from self._bytes(header.whole(b"UserMsgLen", STREAM_MAX_BYTES))))
        cls = _CLASSES.get(kind)
        if cls is None:
            raise WireError(f"message type {kind} does not belong on a stream")
        found: StreamMessage = cls.decode(Body((yield from self._value()), cls.ORDER))
        return found

    def _push_pull(self) -> Generator[None, None, PushPull]:
        header = Body((yield from self._value()), ("Nodes", "UserStateLen", "Join"))
        count = header.whole(b"Nodes", NODES_MAX)
        length = header.whole(b"UserStateLen", STREAM_MAX_BYTES)
        found = PushPull(header.flag(b"Join"))
        self._take_nodes(found.nodes, count)
        has_come = False
        while len(found.nodes) + len(found.bad_nodes) < count:
            try:
                raw = self._unpacker.unpack()
            except msgpack.OutOfData:
                yield from self._more()
                has_come = True
                continue
            try:
                found.nodes.append(NodeState.decode(raw))
            except WireError as error:  # the other nodes are merged
                found.bad_nodes.append(str(error))
                if len(found.bad_nodes) > BAD_NODES_MAX:
                    raise
            if has_come and self._left_bytes <= _SEARCHED_MAX_BYTES:
                has_come = False
                self._take_nodes(found.nodes, count - len(found.bad_nodes))
        found.user_state = yield from self._bytes(length)
        return found

    @property
    def _left_bytes(self) -> int:
        """Bytes received and not read."""
        left: int = self._fed_bytes - self._unpacker.tell()
        return left

    def _take_nodes(self, nodes: list[NodeState], count: int) -> None:
        """Read nodes that have come whole, until there are fewer than `count`: `decode_nodes`."""
        if count - len(nodes) > 1:
            data = bytes(self._unpacker.read_bytes(self._left_bytes))
            self._restart(decode_nodes(data, count - len(nodes), nodes))

    def _kind(self) -> Generator[None, None, int]:
        return (yield from self._bytes(1))[0]

    def _value(self) -> Generator[None, None, Any]:
        while True:
            try:
                return self._unpacker.unpack()
            except msgpack.OutOfData:
                yield from self._more()

    def _bytes(self, count: int) -> Generator[None, None, bytes]:
        parts: list[bytes] = []
        while count:
            part = bytes(self._unpacker.read_bytes(count))
            if part:
                parts.append(part)
                count -= len(part)
            else:
                yield from self._more()
        return b"".join(parts)

    def _more(self) -> Generator[None, None, None]:
        """Wait for bytes. Raises `WireError` where none can come."""
        if self._in_plaintext:
            raise WireError("the message is cut short")
        yield


def _unpacker(size: int) -> Any:
    """A streaming msgpack reader with small limits: lengths that a peer announces are not allocated before the data
    came.
    """
    return msgpack.Unpacker(
        raw=True, strict_map_key=False, ext_hook=extension, max_buffer_size=size, max_array_len=1024, max_map_len=1024
    )


def encode_nodes(nodes: Sequence[NodeState]) -> bytes:
    """Encode the node states of a push/pull, concatenated."""
    return b"".join(node.encode() for node in nodes)
