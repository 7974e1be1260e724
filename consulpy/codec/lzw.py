"""memberlist's compression: LZW as Go's `compress/lzw` writes it (least significant bit first, 8 literal bits).

Codes 0..255 are literals, 256 clears the table, 257 ends; widths grow from 9 to 12 bits. Not the LZW of GIF or TIFF:
when the width grows, and the bit order, differ. Source: docs/wire/gossip.md 2.4; tests/vectors/gossip/lzw.json.
"""

from typing import Final

from consulpy.errors import WireError

_CLEAR: Final = 256
_END: Final = 257
_MAX_WIDTH: Final = 12
_LITERALS: Final = [bytes([value]) for value in range(256)]


def decompress(data: bytes, limit_bytes: int) -> bytes:
    """Decompress; bytes after the end code are ignored.

    Raises `WireError` for an invalid code, a missing end code, or more than `limit_bytes` of output.
    """
    table: list[bytes] = [*_LITERALS, b"", b""]
    output: list[bytes] = []
    size = bits = held = position = 0
    width, high, overflow, last = 9, 257, 512, b""
    while True:
        while held < width:
            chunk = data[position : position + 6]
            if not chunk:
                raise WireError("lzw: the end code is missing")
            bits |= int.from_bytes(chunk, "little") << held
            held += 8 * len(chunk)
            position += len(chunk)
        code = bits & (overflow - 1)
        bits >>= width
        held -= width
        if code < _CLEAR:
            found = _LITERALS[code]
        elif code == _END:
            return b"".join(output)
        elif code == _CLEAR:
            del table[258:]
            width, high, overflow, last = 9, 257, 512, b""
            continue
        elif code < len(table):
            found = table[code]
        elif code == high and last:
            found = last + last[:1]
        else:
            raise WireError(f"lzw: code {code} was never defined")
        size += len(found)
        if size > limit_bytes:
            raise WireError(f"lzw: more than {limit_bytes} bytes come out")
        output.append(found)
        if last:
            table.append(last + found[:1])
        last = found
        high += 1
        if high >= overflow:
            if width == _MAX_WIDTH:
                last = b""
                high -= 1
            else:
                width += 1
                overflow <<= 1


def compress(data: bytes) -> bytes:
    """Compress `data`, without a leading clear code, as Go 1.15 does."""
    table: dict[int, int] = {}
    output = bytearray()
    bits = held = 0
    width, high, overflow = 9, 257, 512
    code = -1
    for byte in data:
        if code < 0:
            code = byte
            continue
        key = code << 8 | byte
        known = table.get(key)
        if known is not None:
            code = known
            continue
        bits |= code << held
        held += width
        if held >= 32:
            output += (bits & 0xFFFFFFFF).to_bytes(4, "little")
            bits >>= 32
            held -= 32
        high += 1
        if high == overflow:
            width += 1
            overflow <<= 1
        if high == 4095:
            bits |= _CLEAR << held
            held += width
            width, high, overflow = 9, 257, 512
            table.clear()
        else:
            table[key] = high
        code = byte
    if code >= 0:
        bits |= code << held
        held += width
        high += 1
        if high == overflow:
            width += 1
        if high == 4095:
            bits |= _CLEAR << held
            held += width
            width = 9
    bits |= _END << held
    held += width
    output += bits.to_bytes((held + 7) // 8, "little")
    return bytes(output)
