"""What was missing is in the error response too, and survives what another server may say."""

import msgpack
import pytest

from consulpy.acl.levels import WRITE
from consulpy.errors import RPCError
from consulpy.http.api.refused import denied_headers
from consulpy.rpc.acl.denied import Denied, RemoteDenied, details_of, remote_error
from consulpy.rpc.messages import error_response


def unpacked(error: Exception) -> list[object]:
    unpacker = msgpack.Unpacker(raw=True)
    unpacker.feed(error_response(7, "KVS.Apply", str(error), details_of(error)))
    return list(unpacker)


def test_a_refusal_tells_the_caller_what_was_missing() -> None:
    error = Denied("key", 'a"b', WRITE)
    error.accessor = "1234"
    header, body = unpacked(error)
    assert header == {b"Error": b"Permission denied", b"Seq": 7, b"ServiceMethod": b"KVS.Apply"}
    found = remote_error("rpc error making call: Permission denied", body)
    assert str(found) == "rpc error making call: Permission denied"
    assert denied_headers(found) == denied_headers(error) == {"X-Consulpy-Denied": 'accessor=1234, key:write "a\\"b"'}
    assert details_of(found) == details_of(error), "a server in between passes it on"


def test_other_errors_have_the_empty_body_of_real_servers() -> None:
    assert unpacked(RPCError("No cluster leader"))[1] == {}
    assert type(remote_error("No cluster leader", {})) is RPCError


@pytest.mark.parametrize("body", [None, 7, [], b"x", {b"Missing": 7}, {b"Accessor": b"a"}, {7: 7}])
def test_any_other_body_is_passed_over(body: object) -> None:
    assert denied_headers(remote_error("Permission denied", body)) == {}


def test_what_another_server_says_cannot_break_a_header() -> None:
    found = remote_error("x", {b"Missing": b"key\r\nX-Evil: 1 \xc3\xa9 \xff" + b"y" * 5000, b"Accessor": [1]})
    assert isinstance(found, RemoteDenied)
    assert not {"\r", "\n"} & set(found.missing)
    assert found.missing.isascii()
    assert len(found.missing) <= 1024
