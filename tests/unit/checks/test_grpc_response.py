"""Responses to gRPC checks: what passes, and error texts, as seen of a real agent."""

import pytest

from consulpy.checks.grpc_response import RESPONSE_MAX_BYTES, GrpcResponse, stream_reset
from consulpy.checks.result import CheckFailed

HEADERS = {":status": "200", "content-type": "application/grpc"}
OK = {"grpc-status": "0"}
UNEXPECTED = 'transport: received the unexpected content-type "text/html"'
SERVING = b"\0\0\0\0\2\x08\1"


def judged(headers: dict[str, str], body: bytes = b"", trailers: dict[str, str] | None = None) -> int | str:
    """The serving status, or the error. No trailers: the body ended the stream."""
    response = GrpcResponse()
    try:
        response.start(headers, is_all="grpc-status" in headers)
        for start in range(0, len(body), 3):
            response.data(body[start : start + 3])
        if trailers is not None:
            response.trailers(trailers)
        return response.end()
    except CheckFailed as error:
        return str(error)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\x08\1", 1),
        (b"\x08\2", 2),
        (b"", 0),
        (b"\x08\1\x10\5", 1),  # a field of a newer version
        (b"\x08\x81\x80\0", 1),
        (b"\x08\2\x08\1", 1),
        (b"\x0a\1x", 0),
    ],
)
def test_the_serving_status_is_field_1(message: bytes, status: int) -> None:
    assert judged(HEADERS, bytes([0, 0, 0, 0, len(message)]) + message, OK) == status


@pytest.mark.parametrize("kind", ["application/grpc+proto", "application/grpc;x=y", "Application/GRPC"])
def test_kinds_of_grpc(kind: str) -> None:
    assert judged({**HEADERS, "content-type": kind}, SERVING, OK) == 1


@pytest.mark.parametrize(
    ("headers", "body", "trailers", "error"),
    [
        ({}, SERVING, None, "Internal desc = server closed the stream without sending trailers"),
        ({}, SERVING, {}, "Unknown desc = "),
        ({}, SERVING, {"grpc-status": "13", "grpc-message": "la%74e"}, "Internal desc = late"),
        ({}, SERVING, {"grpc-status": "77"}, "Code(77) desc = "),
        (
            {},
            b"",
            {"grpc-status": "abc"},
            'Internal desc = transport: malformed grpc-status: strconv.Atoi: parsing "abc": invalid syntax',
        ),
        ({"grpc-status": "5", "grpc-message": "no%20such"}, b"", None, "NotFound desc = no such"),
        ({}, b"\0\0\0\0\xff\x08\1", OK, "Internal desc = unexpected EOF"),
        ({}, b"\0\0", OK, "Internal desc = unexpected EOF"),
        ({}, b"\1" + SERVING[1:], OK, "Internal desc = grpc: compressed flag set with identity or empty encoding"),
        (
            {"grpc-encoding": "gzip"},
            b"\1" + SERVING[1:],
            OK,
            'Unimplemented desc = grpc: Decompressor is not installed for grpc-encoding "gzip"',
        ),
        ({}, SERVING * 2, OK, "Unknown desc = grpc: client streaming protocol violation: get <nil>, want <EOF>"),
        ({}, bytes(RESPONSE_MAX_BYTES + 1), OK, "ResourceExhausted desc = the answer is too long"),
        (
            {":status": "404", "content-type": "text/html"},
            b"",
            None,
            f"Unimplemented desc = Not Found: HTTP status code 404; {UNEXPECTED}",
        ),
        (
            {":status": "503", "content-type": ""},
            b"",
            None,
            "Unavailable desc = Service Unavailable: HTTP status code 503; transport: missing content-type field",
        ),
    ],
)
def test_what_fails_has_gos_error_text(
    headers: dict[str, str], body: bytes, trailers: dict[str, str] | None, error: str
) -> None:
    assert judged({**HEADERS, **headers}, body, trailers) == f"rpc error: code = {error}"


def test_no_message_is_the_end_of_the_file() -> None:
    assert judged(HEADERS, b"", OK) == "EOF"


def test_a_message_that_is_no_protobuf() -> None:
    assert str(judged(HEADERS, b"\0\0\0\0\1\x08", OK)).startswith(
        "rpc error: code = Internal desc = grpc: failed to unm"
    )


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (0, "Internal desc = stream terminated by RST_STREAM with error code: NO_ERROR"),
        (8, "Canceled desc = stream terminated by RST_STREAM with error code: CANCEL"),
        (11, "ResourceExhausted desc = stream terminated by RST_STREAM with error code: ENHANCE_YOUR_CALM"),
        (99, "Unknown desc = stream terminated by RST_STREAM with error code: unknown error code 99"),
    ],
)
def test_a_stream_that_is_reset(number: int, error: str) -> None:
    assert str(stream_reset(number)) == f"rpc error: code = {error}"
