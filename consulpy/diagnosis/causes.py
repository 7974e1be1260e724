"""The causes of failures as codes, and what is said of one: a verdict about a member, a finding of a check."""

from dataclasses import field
from enum import StrEnum
from typing import Any

from consulpy.codec.lazy_dataclass import dataclass


class Cause(StrEnum):
    """All causes; the list is closed, anything else is `UNKNOWN`."""

    HEALTHY = "healthy"
    LEFT = "left"
    FORCE_LEFT = "force-left"

    PROCESS_GONE = "process-gone"
    PROCESS_FROZEN = "process-frozen"
    UNREACHABLE = "unreachable"
    RENAMED = "renamed"

    UDP_BLOCKED = "udp-blocked"
    UDP_ONE_WAY = "udp-one-way"
    UDP_LOSS = "udp-loss"
    TCP_BLOCKED = "tcp-blocked"
    LARGE_DATAGRAMS_LOST = "large-datagrams-lost"
    PATH_BLOCKED = "path-blocked"

    SLOW_NODE = "slow-node"
    SELF_SLOW = "self-slow"
    AGENT_FROZEN = "agent-frozen"

    AGENT_DOWN = "agent-down"
    PORT_TAKEN = "port-taken"
    NO_PRIVATE_ADDRESS = "no-private-address"
    DISK_FULL = "disk-full"
    DATA_DIR_UNWRITABLE = "data-dir-unwritable"

    KEY_MISMATCH = "key-mismatch"
    ENCRYPTION_MISMATCH = "encryption-mismatch"
    WRONG_DATACENTER = "wrong-datacenter"
    NAME_CONFLICT = "name-conflict"
    NODE_ID_CONFLICT = "node-id-conflict"
    WRONG_ADVERTISE = "wrong-advertise"
    NOT_CONSUL = "not-consul"
    NOT_GOSSIP = "not-gossip"
    WAN_PORT = "wan-port"
    NOTHING_LISTENS = "nothing-listens"
    NO_ROUTE = "no-route"
    NAME_UNRESOLVED = "name-unresolved"
    JOIN_FAILING = "join-failing"
    TWO_BOOTSTRAPPED = "two-bootstrapped"

    NO_SERVERS = "no-servers"
    NO_LEADER = "no-leader"
    RPC_UNREACHABLE = "rpc-unreachable"
    TLS_MISMATCH = "tls-mismatch"
    TLS_UNTRUSTED = "tls-untrusted"
    TLS_EXPIRED = "tls-expired"

    UNKNOWN = "unknown"


#: Causes that are no fault.
FINE = frozenset({Cause.HEALTHY, Cause.LEFT, Cause.FORCE_LEFT})
#: Causes that are reported as trouble to come, where everything else works.
ONLY_WARNINGS = frozenset({Cause.RENAMED, Cause.UNKNOWN, Cause.SELF_SLOW})


@dataclass(slots=True)
class Verdict:
    """Diagnosis of one member: the cause, one or two sentences, the observations. `fix`: advice."""

    cause: Cause
    text: str
    evidence: list[str] = field(default_factory=list)
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `consulpy why -format json` shows it."""
        return {"cause": str(self.cause), "text": self.text, "evidence": self.evidence}


@dataclass(slots=True)
class Finding:
    """Result of one check of `doctor`. `status`: "pass", "warn" or "fail"; `fix` is empty for "pass"."""

    check: str
    status: str
    cause: Cause
    text: str
    fix: str = ""

    @classmethod
    def passed(cls, check: str, text: str) -> "Finding":
        """A finding that nothing is wrong."""
        return cls(check, "pass", Cause.HEALTHY, text)

    @classmethod
    def of(cls, check: str, verdict: Verdict) -> "Finding":
        """A verdict as a finding."""
        if verdict.cause in FINE:
            return cls.passed(check, verdict.text)
        status = "warn" if verdict.cause in ONLY_WARNINGS else "fail"
        return cls(check, status, verdict.cause, verdict.text, verdict.fix)

    def to_json(self) -> dict[str, Any]:
        """As `consulpy doctor -format json` shows it."""
        return {
            "check": self.check,
            "status": self.status,
            "cause": str(self.cause),
            "text": self.text,
            "fix": self.fix,
        }
