"""Bodies of calls that were captured from real servers (docs/wire/rpc.md 17), through our records and back."""

import json
from pathlib import Path
from typing import Any

from consulpy.codec.msgpack import unpack
from consulpy.codec.record import Record
from consulpy.rpc.methods import METHODS

VECTORS = Path(__file__).parents[1] / "vectors" / "rpc"


def bodies_of(method: str) -> list[Any]:
    """The captured requests of a method, unpacked."""
    pairs = json.loads((VECTORS / f"{method}.json").read_text())["pairs"]
    return [unpack(bytes.fromhex(pair["request"]["body_hex"])) for pair in pairs]


def same(ours: bytes, theirs: bytes) -> bool:
    """Whether both are the same value: Go writes its maps in random order."""
    return ours == theirs or (len(ours) == len(theirs) and unpack(ours) == unpack(theirs))


def assert_bodies_come_out_as_they_went_in(method: str) -> None:
    """Requests and replies of this method; a body of one byte is nil or {}, which any request may be."""
    known = METHODS[method]
    for pair in json.loads((VECTORS / f"{method}.json").read_text())["pairs"]:
        body = bytes.fromhex(pair["request"]["body_hex"])
        if len(body) > 1:
            assert same(known.request.unpack(body).pack(), body)
        answer = bytes.fromhex(pair["response"]["body_hex"])
        is_record = isinstance(known.reply, type) and issubclass(known.reply, Record)
        if is_record and not pair["response"]["header"].get("Error") and len(answer) > 1:
            assert same(known.reply.unpack(answer).pack(), answer)
