"""Evidence for `why`: probes without an ack, and peers that were refused; bounded.

Nothing is stored of a member while its direct probes are acknowledged in time: its record begins with the first probe
that is not, and ends after `GOOD_PROBES` good ones. Times are the clock's seconds.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import field
from enum import Enum
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import WireError
from consulpy.memberlist.member import Address
from consulpy.memberlist.packet import is_plain

#: Probes of which the outcome is kept, one bit each; a record ends when all of them are good.
GOOD_PROBES: Final = 32
#: Observations kept of one member.
SIGHTINGS_PER_MEMBER: Final = 16
#: Members with a record; then the one that had no new observation for longest is dropped.
MEMBERS_MAX: Final = 1024
#: Refusals kept, the newest.
REFUSALS_MAX: Final = 64
#: The least time between two equal refusals, in seconds: a peer that tries on and on does not push out the others.
REFUSAL_REPEAT_S: Final = 5.0
#: Late acks that come together within this time count as one, in seconds.
BURST_S: Final = 0.5
_MASK: Final = (1 << GOOD_PROBES) - 1


class TcpResult(Enum):
    """Outcome of a request by TCP."""

    ANSWERED = "answered"
    REFUSED = "connection refused"
    NO_ROUTE = "no route"
    NOT_OPENED = "did not open in time"
    SILENT = "opened, but nothing was answered in time"
    CLOSED = "opened, and closed without an answer"
    NOT_DECRYPTED = "answered with what none of our keys decrypts"
    NOT_ENCRYPTED = "answered without encryption"
    GARBLED = "answered with something else"
    FAILED = "failed"


class ExchangeError(ConnectionError):
    """A request by TCP that brought no answer. `result`: how it ended."""

    def __init__(self, text: str, result: TcpResult) -> None:
        super().__init__(text)
        self.result = result


class ExchangeTimeout(TimeoutError):
    """The same, out of time: `result` is `NOT_OPENED` or `SILENT`."""

    def __init__(self, text: str, result: TcpResult) -> None:
        super().__init__(text)
        self.result = result


def tcp_result(error: Exception | None) -> TcpResult:
    """Outcome of a `Transport.exchange`, from the argument of `done`."""
    if error is None:
        return TcpResult.ANSWERED
    if isinstance(error, ExchangeError | ExchangeTimeout):
        return error.result
    if isinstance(error, WireError):
        return wire_result(error)
    if isinstance(error, TimeoutError):
        return TcpResult.NOT_OPENED
    if "refused" in str(error):
        return TcpResult.REFUSED
    return TcpResult.CLOSED if isinstance(error, ConnectionError) else TcpResult.FAILED


def wire_result(error: WireError) -> TcpResult:
    """Encryption mismatch that unreadable bytes point to."""
    text = str(error)
    if NO_KEY in text or ENCRYPTED_HERE_NOT in text:
        return TcpResult.NOT_DECRYPTED
    return TcpResult.NOT_ENCRYPTED if ENCRYPTED_THERE_NOT in text else TcpResult.GARBLED


#: Parts of the texts of `consulpy.memberlist.security` and `stream` (memberlist's own).
NO_KEY: Final = "no installed key"
ENCRYPTED_HERE_NOT: Final = "is encrypted and encryption is not configured"
ENCRYPTED_THERE_NOT: Final = "is not encrypted"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One observation: when, and what was seen."""

    at_s: float
    text: str


@dataclass(slots=True)
class MemberEvidence:
    """The record of one member. `outcomes`: the last direct probes, the newest in bit 0, 1 for an ack in time."""

    outcomes: int = 0
    #: How many outcomes there are, at most `GOOD_PROBES`.
    probes: int = 0
    #: How often acks came after the probe timeout, since the record began.
    late: int = 0
    late_at_s: float = float("-inf")
    #: When the first of the failed direct probes was sent after which none was good; None if the last one was good.
    failing_since_s: float | None = None
    #: How the last TCP ping ended.
    tcp: TcpResult | None = None
    #: Members through which it acknowledged, and when last.
    via: dict[str, float] = field(default_factory=dict)
    #: Members that could not reach it either, and when last.
    nacks: dict[str, float] = field(default_factory=dict)
    sightings: deque[Sighting] = field(default_factory=lambda: deque(maxlen=SIGHTINGS_PER_MEMBER))

    def count(self, good: bool) -> None:
        """One more direct probe has ended."""
        self.outcomes = (self.outcomes << 1 | good) & _MASK
        self.probes = min(self.probes + 1, GOOD_PROBES)

    @property
    def failed(self) -> int:
        """Number of the last `probes` that were not acknowledged in time."""
        return self.probes - self.outcomes.bit_count()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A peer that was not taken in, and why.

    `cause`: a code of the diagnosis ("name-conflict", "node-id-conflict", "wrong-datacenter", "key-mismatch",
    "encryption-mismatch"), or empty. `ours` and `theirs`: the two sides.
    """

    at_s: float
    cause: str
    name: str
    text: str
    ours: str = ""
    theirs: str = ""


class EvidenceStore:
    """The records of all members and the refusals. `now_s()`: the clock."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.by_name: OrderedDict[str, MemberEvidence] = OrderedDict()
        self.refusals: deque[Refusal] = deque(maxlen=REFUSALS_MAX)

    def __len__(self) -> int:
        return len(self.by_name)

    def of(self, name: str) -> MemberEvidence | None:
        """The record of a member, if there is one."""
        return self.by_name.get(name)

    def good(self, name: str) -> None:
        """A direct probe was acknowledged in time. Costs one look-up, and only while there are records."""
        record = self.by_name.get(name)
        if record is None:
            return
        record.count(True)
        record.failing_since_s = None
        if record.outcomes == _MASK:
            del self.by_name[name]

    def answers(self, name: str) -> None:
        """The member was found well by other means than a probe: a later failure begins anew."""
        record = self.by_name.get(name)
        if record is not None:
            record.failing_since_s = None

    def bad(self, name: str, sent_s: float, text: str) -> MemberEvidence:
        """A direct probe was not acknowledged in time."""
        record = self.see(name, text)
        record.count(False)
        if record.failing_since_s is None:
            record.failing_since_s = sent_s
        return record

    def see(self, name: str, text: str) -> MemberEvidence:
        """Record an observation about a member that does not answer."""
        record = self.by_name.get(name)
        if record is None:
            record = self.by_name[name] = MemberEvidence()
            if len(self.by_name) > MEMBERS_MAX:
                self.by_name.popitem(last=False)
        else:
            self.by_name.move_to_end(name)
        record.sightings.append(Sighting(self._now_s(), text))
        return record

    def late(self, name: str, after_s: float, where: Address) -> None:
        """An ack came after the probe timeout."""
        record = self.see(name, f"ack by UDP from {where[0]}:{where[1]} late, {after_s:.3f} s after the ping")
        now_s = self._now_s()
        record.late += now_s - record.late_at_s > BURST_S  # a process that goes on after a pause answers all at once
        record.late_at_s = now_s

    def tcp(self, name: str, result: TcpResult, took_s: float, where: Address) -> None:
        """A TCP ping that followed a failed direct probe has ended."""
        how = f"acked after {1000 * took_s:.0f} ms" if result is TcpResult.ANSWERED else result.value
        record = self.see(name, f"ping by TCP to {where[0]}:{where[1]}: {how}")
        record.tcp = result

    def acked_via(self, name: str, helper: str) -> None:
        """Record that another member reached it."""
        self.see(name, f"ping through {helper}: acked").via[helper] = self._now_s()

    def nacked_by(self, name: str, helper: str) -> None:
        """Record that another member did not reach it either."""
        self.see(name, f"ping through {helper}: no ack there either").nacks[helper] = self._now_s()

    def refuse(self, cause: str, name: str, text: str, ours: str = "", theirs: str = "") -> None:
        """A peer was not taken in."""
        now_s = self._now_s()
        for known in self.refusals:
            if known.cause == cause and known.name == name and known.theirs == theirs:
                if now_s - known.at_s < REFUSAL_REPEAT_S:
                    return
                self.refusals.remove(known)
                break
        self.refusals.append(Refusal(now_s, cause, name, text, ours, theirs))

    def refuse_encryption(self, name: str, error: WireError, packet: bytes, *, encrypts: bool) -> None:
        """A peer's packet or stream was refused by `error`; recorded if its encryption does not match ours.

        `encrypts`: whether we have keys.
        """
        result = wire_result(error)
        if packet and result is TcpResult.NOT_DECRYPTED and is_plain(packet):
            result = TcpResult.NOT_ENCRYPTED
        if result is TcpResult.NOT_DECRYPTED:
            cause = "key-mismatch" if encrypts else "encryption-mismatch"
            ours = "encrypts with other keys" if encrypts else "does not encrypt"
            self.refuse(cause, name, str(error), ours, "encrypts")
        elif result is TcpResult.NOT_ENCRYPTED:
            self.refuse("encryption-mismatch", name, str(error), "encrypts", "does not encrypt")

    def looks_late(self, since_s: float) -> list[str]:
        """The members whose acks came late after `since_s`."""
        return [name for name, record in self.by_name.items() if record.late_at_s > since_s]
