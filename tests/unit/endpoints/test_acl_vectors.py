"""ACL.* between a real client agent and its server: our records give the same bytes (docs/wire/acl.md section 8)."""

import json
from pathlib import Path
from typing import Any

import pytest

from consulpy.codec.msgpack import pack, text, unpack
from consulpy.codec.record import Record
from consulpy.rpc.methods import METHODS

VECTORS = Path(__file__).parents[2] / "vectors" / "acl" / "wire.json"
RPC: dict[str, list[dict[str, Any]]] = json.loads(VECTORS.read_text())["rpc"]
#: Go writes the members of a method's configuration in random order.
RANDOM = {"ACL.AuthMethodSet", "ACL.AuthMethodRead", "ACL.Login"}


@pytest.mark.parametrize("method", RPC)
def test_requests_and_replies_have_the_bytes_of_real_agents(method: str) -> None:
    known = METHODS[method]
    pairs = RPC[method] if isinstance(RPC[method], list) else [RPC[method]]
    assert pairs
    for pair in pairs:
        body = bytes.fromhex(pair["request"]["body_hex"])
        ours = known.request.unpack(body).pack()
        assert ours == body or (method in RANDOM and unpack(ours) == unpack(body))
        answer = bytes.fromhex(pair["response"]["body_hex"])
        if pair["response"]["header"]["Error"] or method == "ACL.GetPolicy":
            continue
        if isinstance(known.reply, type) and issubclass(known.reply, Record):
            ours = known.reply.unpack(answer).pack()
            assert ours == answer or (method in RANDOM and unpack(ours) == unpack(answer))
        else:
            value = unpack(answer)
            assert isinstance(value, bool) or pack(text(value)) == answer
