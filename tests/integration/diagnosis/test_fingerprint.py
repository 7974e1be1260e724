"""What listens at a port that speaks no gossip, asked over real sockets."""

import socket
import threading

import pytest
import pytest_twisted
from twisted.internet import reactor

from consulpy.diagnosis.fingerprint import identify
from consulpy.http.errors import HTTP_ON_HTTPS_PORT
from consulpy.memberlist.transport import ClientTransport


class Answering(threading.Thread):
    """A TCP server that answers as `answers` says for the first bytes of a request; closes for others."""

    def __init__(self, answers: dict[bytes, bytes], silent: bool = False) -> None:
        super().__init__(daemon=True)
        self._answers = answers
        self._silent = silent
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            data = peer.recv(4096)
            for begin, answer in self._answers.items():
                if data.startswith(begin):
                    peer.sendall(answer)
            if not self._silent:
                peer.close()


DNS_ANSWER = b"\0\x14\x43\x50\x81\x80" + bytes(14)


@pytest.mark.parametrize(
    ("answers", "silent", "what"),
    [
        ({b"GET ": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, False, "HTTP"),
        ({b"GET ": HTTP_ON_HTTPS_PORT}, False, "HTTPS (the API is on 8501"),
        ({b"\4": b"\0\2\0\2\0\0\0\0\0\0\0\7"}, False, "RPC"),
        ({b"\0\x11": DNS_ANSWER}, False, "DNS"),
        ({b"GET ": b"\x15\x03\x01\0\2\2\x28\0"}, False, "TLS"),
        ({b"": b"SSH-2.0-OpenSSH_9.2\r\n"}, False, "SSH-2.0"),
        ({}, False, ""),
        ({}, True, ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_listens(answers: dict[bytes, bytes], silent: bool, what: str) -> None:
    server = Answering(answers, silent)
    found = await identify(ClientTransport(reactor, "127.0.0.1").exchange, ("127.0.0.1", server.port))
    server.socket.close()
    assert (what in found) if what else found == ""
