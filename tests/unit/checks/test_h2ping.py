"""One HTTP/2 ping, without a network."""

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from consulpy.checks.h2ping import Ping
from consulpy.checks.result import CheckFailed


def started() -> tuple[Ping, list[Failure]]:
    ping, failures = Ping(), list[Failure]()
    ping.makeConnection(StringTransport())
    return ping, failures


def test_the_end_of_the_connection_fails_a_ping() -> None:
    ping, failures = started()
    ping.start().addErrback(failures.append)
    ping.connectionLost(Failure(ConnectionDone()))
    [failure] = failures
    failure.trap(CheckFailed)


def test_the_end_of_the_connection_after_a_timeout_is_no_error() -> None:
    ping, failures = started()
    answer = ping.start().addErrback(failures.append)
    answer.cancel()
    ping.connectionLost(Failure(ConnectionDone()))
    [failure] = failures
    with pytest.raises(CancelledError):
        failure.raiseException()
