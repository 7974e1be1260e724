"""Names and addresses of checks."""

import socket

import pytest
from twisted.internet.task import Clock

from consulpy.checks import dial


def test_the_unspecified_address_is_tried_for_both_families() -> None:
    """As Go's dialer: `[::]` means this host, also where IPv6 does not lead back to it."""
    found: list[tuple[list[str], int]] = []
    dial.Dialer(Clock()).look_up("::", "80").addCallback(found.append)
    assert found == [(["::", "0.0.0.0"], 80)]


@pytest.mark.parametrize(
    ("number", "why"),
    [(socket.EAI_AGAIN, "temporary failure in name resolution"), (socket.EAI_NONAME, "no such host")],
)
def test_a_name_server_that_does_not_answer_is_not_an_unknown_name(
    number: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "text")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(dial.DialError) as caught:
        dial._addresses_of("name.example")
    assert str(caught.value) == f"dial tcp: lookup name.example: {why}"
