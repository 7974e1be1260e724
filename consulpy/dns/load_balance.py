"""Load balancing over a service's instances: answers that are random permutations of them. Pure.

Each instance is encoded once, by twisted.names, when it is first used; an answer is the concatenation of those bytes.
Only pointers at SRV targets depend on the rest of the packet: a target beyond their reach is written out. `answer.fit`
makes the packet from records (full path); it is used where a name in the additional section is not the target of its
own record (metadata of the node of a service with an address of its own).
"""

import struct
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from twisted.names import dns

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.dns import answer as answers
from consulpy.dns.answer import Group
from consulpy.dns.config import DnsConfig
from consulpy.dns.wire import (
    HEADER_SIZE,
    POINTER_LIMIT,
    Answer,
    Question,
    Srv,
    compressed,
    encode,
    encoded,
    framed,
    names_of,
)
from consulpy.structs.service import CheckServiceNode

_POINTER: Final = struct.Struct("!H")
_IS_POINTER: Final = 0xC000
#: Instances of a step of encoding: some two milliseconds.
_ENCODED_OF_A_STEP: Final = 32
#: Bytes of an address record with a compressed name; no record is smaller.
_RECORD_BYTES_MIN: Final = 16


@dataclass(slots=True)
class _EncodedInstance:
    """The bytes of an instance's records.

    `head`: the answer record. `extras`: b"", then the additional records without their owner names, to be joined by a
    pointer at `target`. `target`: the owner name, `target_at` bytes into `head`; b"" if `extras` are whole records.
    `size`: of all, owner names included.
    """

    head: bytes
    extras: tuple[bytes, ...] = ()
    target: bytes = b""
    target_at: int = 0
    size: int = 0


class ShuffledAnswer:
    """The instances that answer a question; all have IP addresses. `count`: of different records.

    `rows`: the instances, in any order. Of several with the same record one is sent; it is as much likelier to be.
    `keys`: of the rows (`key_of`), if known. `has_more`: whether they are a sample, of more than an answer can hold.
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
        keys: list[object] | None = None,
        has_more: bool = False,
    ) -> None:
        self._question, self._config, self._ttl, self._rng, self._udp = question, config, ttl, rng, udp
        self._rows: list[CheckServiceNode] = []
        self._keys: list[object] = []
        wanted: dict[str, bool] = {}
        for number, row in enumerate(rows):
            key = key_of(question, row, wanted) if keys is None else keys[number]
            if key is not None:
                self._rows.append(row)
                self._keys.append(key)
        self.count = len(set(self._keys))
        self._has_duplicates = self.count < len(self._rows)
        #: Most records by configuration; an answer with fewer is truncated.
        self._wanted_max = self.count + has_more
        if question.kind != dns.SRV and config.a_record_limit:
            self._wanted_max = min(self._wanted_max, config.a_record_limit)
        self._size_max, count_max = answers.limits(question, config, udp=udp)
        self._count_max = min(count_max, self._wanted_max, self.count)
        #: Whether nodes' metadata is sent: not in an answer that must be cut (`answers.fit`).
        self._has_metadata = self._count_max == self._wanted_max and self._is_metadata_wanted()
        self._encoded: dict[int, _EncodedInstance | None] = {}
        self._firsts: list[int] = []

    def _is_metadata_wanted(self) -> bool:
        if self._question.kind != dns.SRV or not self._config.node_meta_txt:
            return False
        return any(row.node is not None and row.node.meta for row in self._rows)

    def shuffle(self) -> bytes:
        """A packet with a new permutation, with the question's id."""
        return self.packet(self.order())

    def order(self) -> list[int]:
        """A new permutation: indexes of instances, at most as many as may be sent.

        Each instance is first once before any is first again: few answers suffice for an even load.
        """
        numbers = range(len(self._rows))
        if not self._firsts:
            self._firsts = self._rng.sample(numbers, len(numbers))
        first = self._firsts.pop()
        shuffled = [first, *self._rng.sample(numbers, len(numbers) if self._has_duplicates else self._count_max)]
        by_key: dict[object, int] = {}
        for number in shuffled:
            by_key.setdefault(self._keys[number], number)
        return list(by_key.values())[: self._count_max]

    def encoded(self, order: Sequence[int]) -> Iterator[None]:
        """Encode the instances that the packet with this order has, in steps."""
        size = 0
        for at, number in enumerate(order):
            instance = self._encoded[number] if number in self._encoded else self._encode(number)
            size += instance.size if instance is not None else self._size_max
            if size > self._size_max:
                return
            if at % _ENCODED_OF_A_STEP == 0:
                yield

    def packet(self, order: Sequence[int]) -> bytes:
        """The packet with as many of the instances at these indexes, in this order, as fit."""
        answer = Answer(recursion=bool(self._config.recursors))
        at = size = HEADER_SIZE + len(self._question.section)
        size_max = self._size_max - (len(framed(self._question, answer, b"", 0)) - size)
        heads: list[bytes] = []
        extras: list[bytes] = []
        additional = 0
        targets: dict[bytes, int] = {}
        #: Names that pointers reach, once there are others.
        names: dict[bytes, int] = {}
        for number in order:
            instance = self._encoded[number] if number in self._encoded else self._encode(number)
            if instance is None:
                return self._full_path(order)
            owner = b""
            if instance.target:
                offset = targets.setdefault(instance.target, at + instance.target_at)
                if offset < POINTER_LIMIT:
                    owner = _POINTER.pack(_IS_POINTER | offset)
                else:
                    names = names or names_of(self._question, targets)
                    owner = compressed(instance.target, names)
                size += (len(instance.extras) - 1) * (len(owner) - _POINTER.size)
            size += instance.size
            if size > size_max:
                if self._has_metadata:
                    self._has_metadata = False
                    self._encoded.clear()
                    return self.packet(order)
                break
            heads.append(instance.head)
            if instance.extras:
                extras.append(owner.join(instance.extras))
                additional += len(instance.extras) - 1
            at += len(instance.head)
        answer.truncated = self._config.enable_truncate and len(heads) < self._wanted_max
        return framed(self._question, answer, b"".join(heads + extras), len(heads), 0, additional)

    def _full_path(self, order: Sequence[int]) -> bytes:
        groups = [self._group(number) for number in order[: self._size_max // _RECORD_BYTES_MIN]]
        answer = answers.fit(self._question, groups, self._config, udp=self._udp)
        answer.truncated = self._config.enable_truncate and len(answer.answers) < self._wanted_max
        answer.recursion = bool(self._config.recursors)
        return encode(self._question, answer, compress=not self._config.disable_compression)

    def _group(self, number: int) -> Group:
        row = self._rows[number]
        if self._question.kind != dns.SRV:
            ip = answers.ip_of(answers.address_of(row))
            assert ip is not None
            return Group(answers.address_record(self._question.name, ip, self._ttl))
        group = answers.srv_group(self._question, row, self._config, self._ttl)
        if self._has_metadata:
            group.extras += answers.node_meta(self._config, row, self._ttl)
        return group

    def _encode(self, number: int) -> _EncodedInstance | None:
        """An instance's bytes; None if moving one pointer is not enough for its names."""
        group, compress = self._group(number), not self._config.disable_compression
        head, *extras = encoded(self._question, [group.record, *group.extras], compress=compress)
        size = len(head) + sum(map(len, extras))
        payload: Any = group.record.payload
        instance: _EncodedInstance | None
        if not extras or not compress:
            instance = _EncodedInstance(head, (b"", *extras) if extras else (), size=size)
        elif isinstance(payload, Srv) and all(each.name.name == payload.target.name for each in group.extras):
            target, rest = payload.target.name, (each[_POINTER.size :] for each in extras)
            instance = _EncodedInstance(head, (b"", *rest), target, len(head) - len(target) - 2, size)
        else:
            instance = None
        self._encoded[number] = instance
        return instance


def key_of(question: Question, row: CheckServiceNode, wanted: dict[str, bool]) -> object:
    """The identity of an instance's record among those of others; None: it has none of the requested type.

    `wanted`: addresses that were looked at, and whether a record is made of them.
    """
    if question.kind == dns.SRV:
        return answers.srv_key(row)
    address = answers.address_of(row)
    is_wanted = wanted.get(address)
    if is_wanted is None:
        ip = answers.ip_of(address)
        is_wanted = wanted[address] = ip is not None and answers.wants(question.kind, ip)
    return address if is_wanted else None
