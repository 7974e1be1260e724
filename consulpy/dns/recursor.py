"""Recursion: names outside the domains, forwarded to the configured recursors. Pure; `exchange` does the I/O.

A recursor that fails, answers neither NOERROR nor NXDOMAIN, or sends no complete reply to the question, is skipped.
When none is left: SERVFAIL.
"""

import struct
from collections.abc import Callable
from random import Random
from typing import Final

from twisted.internet.defer import Deferred
from twisted.names import dns

from consulpy.dns.config import DnsConfig
from consulpy.dns.reply import is_complete, is_reply_to
from consulpy.dns.wire import HEADER_SIZE, Answer, Question
from consulpy.log import Logger

#: `exchange((host, port), packet, udp, timeout_s)`: the reply to a packet. Fails when there is none in time.
Exchange = Callable[[tuple[str, int], bytes, bool, float], "Deferred[bytes]"]

_DNS_PORT: Final = 53
_RCODE: Final = 0x000F
_RECURSION_AVAILABLE: Final = 0x80
#: In the first byte of the flags.
_TRUNCATED: Final = 0x02
#: The counts of a packet with a question and no records.
_QUESTION_ONLY: Final = struct.pack("!4H", 1, 0, 0, 0)

_log = Logger()


class Recursor:
    """Client of the recursors. `rng` chooses message ids."""

    def __init__(self, exchange: Exchange, rng: Random) -> None:
        self._exchange = exchange
        self._rng = rng

    async def forward(self, question: Question, config: DnsConfig, *, udp: bool) -> Answer | bytes:
        """The first usable reply, with the client's id and question; SERVFAIL if there is none.

        `udp`: a reply that is larger than the client takes is only its question, with the TC bit.
        """
        reply = await self._query(question.packet, config, udp)
        if reply is None:
            return Answer(rcode=dns.ESERVER, authoritative=False, recursion=True)
        flags = bytes([reply[2], reply[3] | _RECURSION_AVAILABLE])
        end = HEADER_SIZE + len(question.section)
        if udp and len(reply) > question.largest_udp:
            flags = bytes([flags[0] | _TRUNCATED, flags[1]])
            return question.packet[:2] + flags + _QUESTION_ONLY + question.section
        return question.packet[:2] + flags + reply[4:HEADER_SIZE] + question.section + reply[end:]

    async def addresses(self, host: str, config: DnsConfig, family: int) -> list[dns.RRHeader]:
        """The answer records for the addresses of a host (`family`: A or AAAA); empty if no recursor has any."""
        message = dns.Message(recDes=1)
        query = dns.Query(b"", family, dns.IN)
        query.name.name = host.removesuffix(".").encode("utf-8", "surrogateescape")
        message.queries.append(query)
        reply = await self._query(message.toStr(), config, udp=True)
        if reply is None:
            return []
        decoded = dns.Message()
        try:
            decoded.fromStr(reply)
        except Exception as error:  # decoders of records raise whatever their bytes lead to
            _log.warn("a recursor's answer for {host} can't be read: {error}", host=host, error=error)
            return []
        return decoded.answers

    async def _query(self, packet: bytes, config: DnsConfig, udp: bool) -> bytes | None:
        recursors = list(config.recursors)
        if config.random_recursors:
            self._rng.shuffle(recursors)
        for recursor in recursors:
            number = struct.pack("!H", self._rng.getrandbits(16))
            try:
                reply = await self._exchange(address_of(recursor), number + packet[2:], udp, config.recursor_timeout_s)
            except Exception as error:  # whatever it is, the next recursor may work
                _log.warn("recursor {recursor} failed: {error}", recursor=recursor, error=error)
                continue
            if not is_reply_to(number + packet[2:], reply) or not is_complete(reply):
                _log.warn("recursor {recursor} sent no complete reply to the question", recursor=recursor)
            elif reply[3] & _RCODE in (dns.OK, dns.ENAME):
                return reply
        return None


def address_of(recursor: str) -> tuple[str, int]:
    """`192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:53`, `2001:db8::1` -> host and port."""
    if recursor.startswith("["):
        host, _, port = recursor[1:].partition("]")
        return host, int(port[1:] or _DNS_PORT)
    host, colon, port = recursor.rpartition(":")
    if colon and ":" not in host:
        return host, int(port)
    return recursor, _DNS_PORT
