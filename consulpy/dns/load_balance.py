"""A service's answer as what it is: a random choice of its instances, drawn again and again. Pure.

Each instance is encoded once, by twisted.names, when it is first drawn; an answer is those bytes one after the other.
Only pointers at SRV targets depend on what else is in the packet. `answer.fit` makes the same packet from records; it
does where a name in the additional section is no target of its own record (metadata of the node of a service with an
address of its own) or stands beyond where a pointer reaches.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from twisted.names import dns

from consulpy.dns import answer as answers
from consulpy.dns.answer import Group
from consulpy.dns.config import DnsConfig
from consulpy.dns.wire import HEADER_SIZE, POINTER_LIMIT, Answer, Question, Srv, encode, encoded, framed
from consulpy.structs.service import CheckServiceNode

_POINTER: Final = struct.Struct("!H")
_IS_POINTER: Final = 0xC000


@dataclass(slots=True)
class _Piece:
    """An instance's bytes.

    `extras`: its additional records without their owner, behind an empty text, so that the owner joins them. `target`:
    the owner, which stands `target_at` bytes into `head`, or b"" if they are whole. `size`: of all, owners included.
    """

    head: bytes
    extras: tuple[bytes, ...] = ()
    target: bytes = b""
    target_at: int = 0
    size: int = 0


class Choice:
    """The instances that answer a question. All are at IP addresses. `count`: how many records there are to choose of.

    `rows` are those that may be sent, in any order; a place that several of them have is that much likelier drawn.
    """

    def __init__(
        self,
        question: Question,
        rows: Sequence[CheckServiceNode],
        config: DnsConfig,
        ttl: int,
        rng: Random,
        *,
        udp: bool,
    ) -> None:
        self._question, self._config, self._ttl, self._rng, self._udp = question, config, ttl, rng, udp
        self._rows: list[CheckServiceNode] = []
        self._places: list[object] = []
        wanted: dict[str, bool] = {}
        for row in rows:
            if question.kind == dns.SRV:
                place: object = answers.srv_place(row)
                named = place is not None
            else:
                place = address = answers.address_of(row)
                if address not in wanted:
                    ip = answers.ip_of(address)
                    wanted[address] = ip is not None and answers.wants(question.kind, ip)
                named = wanted[address]
            if named:
                self._rows.append(row)
                self._places.append(place)
        self.count = len(set(self._places))
        self._repeated = self.count < len(self._rows)
        #: How many of them may be named; fewer than that are cut off for their size.
        self._allowed = self.count
        if question.kind != dns.SRV and config.a_record_limit:
            self._allowed = min(self.count, config.a_record_limit)
        self._size_max, most = answers.limits(question, config, udp=udp)
        self._most = min(most, self._allowed)
        self._pieces: dict[int, _Piece | None] = {}
        self._firsts: list[int] = []

    def draw(self) -> bytes:
        """A packet with a new choice, in random order; under the question's id."""
        return self.packet(self.order())

    def order(self) -> list[int]:
        """A new random choice: indexes of instances, no more than may be sent.

        Each instance is first before one is so again: even of few choices none gets much more than its share.
        """
        numbers = range(len(self._rows))
        if not self._firsts:
            self._firsts = self._rng.sample(numbers, len(numbers))
        first = self._firsts.pop()
        drawn = [first, *self._rng.sample(numbers, len(numbers) if self._repeated else self._most)]
        by_place: dict[object, int] = {}
        for number in drawn:
            by_place.setdefault(self._places[number], number)
        return list(by_place.values())[: self._most]

    def packet(self, order: Sequence[int]) -> bytes:
        """The answer with as many as fit of the instances at these indexes, in this order."""
        answer = Answer(recursion=bool(self._config.recursors))
        at = size = HEADER_SIZE + len(self._question.section)
        room = self._size_max - (len(framed(self._question, answer, b"", 0)) - size)
        heads: list[bytes] = []
        extras: list[bytes] = []
        additional = 0
        targets: dict[bytes, int] = {}
        for number in order:
            piece = self._pieces[number] if number in self._pieces else self._encoded(number)
            if piece is None or at >= POINTER_LIMIT - len(piece.head):
                return self._plain(order)
            size += piece.size
            if size > room:
                break
            heads.append(piece.head)
            if piece.extras:
                offset = targets.setdefault(piece.target, at + piece.target_at)
                extras.append((_POINTER.pack(_IS_POINTER | offset) if piece.target else b"").join(piece.extras))
                additional += len(piece.extras) - 1
            at += len(piece.head)
        answer.truncated = self._config.enable_truncate and len(heads) < self._allowed
        return framed(self._question, answer, b"".join(heads + extras), len(heads), 0, additional)

    def _plain(self, order: Sequence[int]) -> bytes:
        groups = [self._group(number) for number in order]
        answer = answers.fit(self._question, groups, self._config, udp=self._udp)
        answer.truncated = self._config.enable_truncate and len(answer.answers) < self._allowed
        answer.recursion = bool(self._config.recursors)
        return encode(self._question, answer, compress=not self._config.disable_compression)

    def _group(self, number: int) -> Group:
        row = self._rows[number]
        if self._question.kind != dns.SRV:
            ip = answers.ip_of(answers.address_of(row))
            assert ip is not None
            return Group(answers.address_record(self._question.name, ip, self._ttl))
        group = answers.srv_group(self._question, row, self._config, self._ttl)
        group.extras += answers.node_meta(self._config, row, self._ttl)
        return group

    def _encoded(self, number: int) -> _Piece | None:
        """An instance's bytes; None if its names can't be pointed at by moving a pointer."""
        group, compress = self._group(number), not self._config.disable_compression
        head, *extras = encoded(self._question, [group.record, *group.extras], compress=compress)
        size = len(head) + sum(map(len, extras))
        payload: Any = group.record.payload
        piece: _Piece | None
        if not extras or not compress:
            piece = _Piece(head, (b"", *extras) if extras else (), size=size)
        elif isinstance(payload, Srv) and all(each.name.name == payload.target.name for each in group.extras):
            target, rest = payload.target.name, (each[_POINTER.size :] for each in extras)
            piece = _Piece(head, (b"", *rest), target, len(head) - len(target) - 2, size)
        else:
            piece = None
        self._pieces[number] = piece
        return piece
