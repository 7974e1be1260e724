"""ACL.* from the wire where access control is off: what was written then would be in force once it is on.

Source: the replies of a real server of 1.8.7 to the same calls.
"""

from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack, unpack
from consulpy.rpc.dispatch import serve
from consulpy.rpc.methods import METHODS, load
from tests.harness.rpc import make_server

load("ACL")
NAMES = sorted(name for name in METHODS if name.startswith("ACL."))
DISABLED = "ACL support disabled"


def answer(method: str, datacenter: str = "dc1") -> Any:
    """The reply to a call without more in it, or the text of its error."""
    server, results = make_server(Clock()), []
    body = unpack(pack({"Datacenter": datacenter, "Token": "", "Create": True}))
    serve(server, method, body).addBoth(results.append)
    assert server.store.index == 0, "nothing is written"
    (result,) = results
    return str(result.value) if hasattr(result, "value") else result


@pytest.mark.parametrize("method", sorted({*NAMES} - {"ACL.GetPolicy", "ACL.ReplicationStatus"}))
def test_tokens_and_rules_are_refused(method: str) -> None:
    assert answer(method) == DISABLED


def test_a_client_learns_what_there_is() -> None:
    assert answer("ACL.GetPolicy") == "ACL not found"
    assert answer("ACL.ReplicationStatus").enabled is False


@pytest.mark.parametrize("method", ["ACL.TokenSet", "ACL.PolicyList", "ACL.Login"])
def test_they_are_refused_before_they_are_forwarded(method: str) -> None:
    assert answer(method, "dc9") == DISABLED


@pytest.mark.parametrize("method", ["ACL.Apply", "ACL.Get", "ACL.List"])
def test_those_of_before_1_4_are_forwarded_first(method: str) -> None:
    assert answer(method, "dc9") == "No path to datacenter"
