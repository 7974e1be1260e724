"""The layers of a datagram: label, encryption, CRC, compression, compound, messages.

`Sealer.seal` wraps messages, `Sealer.open` unwraps them. Source: docs/wire/gossip.md 2 and 11.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from consulpy.codec.lzw import compress, decompress
from consulpy.codec.msgpack import pack, text, unpack
from consulpy.errors import WireError
from consulpy.memberlist import messages, security
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.messages import COMPOUND, COMPRESS, HAS_CRC, HAS_LABEL

#: Maximum messages in a compound; real receivers misread the length table of 128 or more.
COMPOUND_PARTS_MAX: Final = 127
#: Maximum bytes of a packet with all of its parts decompressed.
DECOMPRESSED_MAX_BYTES: Final = 64 * 1024
#: Maximum nesting depth of compound and compressed messages.
DEPTH_MAX: Final = 4
#: Bytes below which compression never pays.
COMPRESS_FROM_BYTES: Final = 200
#: Types of messages that have messages in them.
_WRAPPERS: Final = (COMPOUND, COMPRESS)
_LABELLED: Final = bytes((HAS_LABEL,))
#: Lowest pmax of members that understand CRC frames.
CRC_FROM_VERSION: Final = 5


def compound(parts: Sequence[bytes]) -> bytes:
    """Several messages as one compound; a single message is returned unchanged."""
    assert parts
    assert len(parts) <= COMPOUND_PARTS_MAX, "a real receiver misreads a longer table"
    assert all(parts), "a zero-length part crashes real peers"
    if len(parts) == 1:
        return parts[0]
    lengths = b"".join(len(part).to_bytes(2, "big") for part in parts)
    return bytes((COMPOUND, len(parts))) + lengths + b"".join(parts)


def compressed(data: bytes) -> bytes:
    """A compress message around `data`."""
    assert data, "compressed nothing crashes real peers"
    return bytes((COMPRESS,)) + pack({"Algo": 0, "Buf": compress(data)})


def decompressed(body: Any, limit_bytes: int) -> bytes:
    """Decompress the unpacked body of a compress message. Raises `WireError`, with memberlist's text."""
    fields = messages.Body(body, ("Algo", "Buf"))
    algorithm = fields.whole(b"Algo", 255)
    if algorithm != 0:
        raise WireError(f"Cannot decompress unknown algorithm {algorithm}")
    plain = decompress(fields.raw(b"Buf"), limit_bytes)
    if not plain:
        raise WireError("nothing was compressed")
    return plain


class Sealer:
    """Wraps and unwraps datagrams, with the local node's keyring and label."""

    def __init__(self, keyring: Keyring | None, *, verify_incoming: bool, verify_outgoing: bool, label: str) -> None:
        self.keyring = keyring
        self.verify_incoming = verify_incoming
        self._verify_outgoing = verify_outgoing
        self.label = label.encode()
        assert len(self.label) < 256
        #: The label's header in front of each datagram; empty without a label.
        self.label_header = bytes((HAS_LABEL, len(self.label))) + self.label if self.label else b""

    @property
    def overhead_bytes(self) -> int:
        """Bytes that encryption and label add to a datagram."""
        return len(self.label_header) + (security.OVERHEAD_BYTES if self.encrypts else 0)

    @property
    def encrypts(self) -> bool:
        """Whether outgoing datagrams are encrypted."""
        return self.keyring is not None and self._verify_outgoing

    def seal(self, parts: Sequence[bytes], crc: bool, compress_it: bool = True) -> bytes:
        """Wrap `parts` into one datagram; `crc`: the receiver understands CRC frames."""
        data = parts[0] if len(parts) == 1 else compound(parts)
        if compress_it and len(data) >= COMPRESS_FROM_BYTES:
            smaller = compressed(data)
            if len(smaller) < len(data):
                data = smaller
        if crc:
            data = bytes((HAS_CRC,)) + zlib.crc32(data).to_bytes(4, "big") + data
        if self.keyring is not None and self._verify_outgoing:
            data = security.encrypt(self.keyring.ciphers[0], data, self.label)
        return self.label_header + data if self.label_header else data

    def open(self, data: bytes) -> Iterable[bytes]:
        """The messages in a datagram, each with its type byte. Raises `WireError`, possibly after yielding some."""
        if self.label or data[:1] == _LABELLED:
            data = self.remove_label(data)
        if self.keyring is not None:
            try:
                data = security.decrypt(self.keyring.ciphers, data, self.label)
            except WireError:
                if self.verify_incoming:
                    raise
        if len(data) >= 5 and data[0] == HAS_CRC:
            rest = data[5:]
            if zlib.crc32(rest) != int.from_bytes(data[1:5], "big"):
                raise WireError("the CRC does not fit")
            data = rest
        if data and data[0] not in _WRAPPERS:
            return (data,)
        return _Opened().messages(data, 0)

    def remove_label(self, data: bytes) -> bytes:
        """A datagram without its label. Raises `WireError` unless the label is ours."""
        label = b""
        if data and data[0] == HAS_LABEL:
            end = 2 + data[1] if len(data) > 1 else 0
            label = data[2:end]
            if not label or len(data) < end:
                raise WireError("a label header that is cut short")
            data = data[end:]
        self.check_label(label)
        return data

    def check_label(self, label: bytes) -> None:
        """Raises `WireError` unless `label` is ours."""
        if label != self.label:
            theirs, ours = (text(name) or "none" for name in (label, self.label))
            raise WireError(f"its label is {theirs}, ours is {ours}")


def is_plain(data: bytes) -> bool:
    """Whether the whole of a datagram means something without being decrypted."""
    try:
        if len(data) >= 5 and data[0] == HAS_CRC:
            data = data[5:]
        for message in _Opened().messages(data, 0):
            if message[0] != messages.USER:
                messages.decode(message)
    except WireError:
        return False
    return True


class _Opened:
    """A datagram being unwrapped. Limits the total size of its decompressed parts."""

    __slots__ = ("_left_bytes",)

    def __init__(self) -> None:
        self._left_bytes = DECOMPRESSED_MAX_BYTES

    def messages(self, data: bytes, depth: int, inflated: bool = False) -> Iterator[bytes]:
        """The messages in `data`, at `depth` layers of nesting; `inflated`: it was compressed."""
        if not data:
            raise WireError("an empty message")
        kind = data[0]
        if kind not in _WRAPPERS:
            yield data
            return
        if depth >= DEPTH_MAX:
            raise WireError(f"messages are nested more than {DEPTH_MAX} deep")
        if kind == COMPOUND:
            for part in _parts(data):
                yield from self.messages(part, depth + 1, inflated)
            return
        if inflated:
            raise WireError("something compressed in something compressed")
        plain = decompressed(unpack(memoryview(data)[1:]), self._left_bytes)
        self._left_bytes -= len(plain)
        yield from self.messages(plain, depth + 1, inflated=True)


def _parts(data: bytes) -> Iterator[bytes]:
    """The parts of a compound. A truncated one raises `WireError` after its complete parts were yielded."""
    if len(data) < 2 or len(data) < 2 + 2 * data[1]:
        raise WireError("the table of a compound is cut short")
    count = data[1]
    start = 2 + 2 * count
    lengths = [int.from_bytes(data[2 + 2 * number : 4 + 2 * number], "big") for number in range(count)]
    if 0 in lengths:
        raise WireError("a compound with a part of no length")
    for number, length in enumerate(lengths):
        if len(data) < start + length:
            raise WireError(f"{count - number} parts of a compound are cut off")
        yield data[start : start + length]
        start += length
