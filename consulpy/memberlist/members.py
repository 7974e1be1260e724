"""The member list and its rules: alive, suspect, dead or left, refute, by incarnation.

An alive message needs a higher incarnation than the known one; suspect and dead messages also apply at an equal one.
Only the member itself raises its incarnation. Source: docs/wire/gossip.md 5.1 to 5.4.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import Final

from consulpy.clock import Clock
from consulpy.errors import MergeRefused
from consulpy.memberlist.awareness import Awareness
from consulpy.memberlist.broadcast import BroadcastQueue
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import Delegate
from consulpy.memberlist.evidence import EvidenceStore
from consulpy.memberlist.incarnation import following, is_newer
from consulpy.memberlist.member import Address, Member, State
from consulpy.memberlist.messages import Alive, Dead, Suspect
from consulpy.memberlist.node_state import NodeState
from consulpy.memberlist.suspicion import Suspicion, suspicion_timeout_s
from consulpy.memberlist.timeline import Timeline
from consulpy.metrics.registry import NOTHING, Measures

#: Maximum number of members; further ones are ignored.
MEMBERS_MAX: Final = 1 << 17


_STATES: Final = tuple(State)


class Members:
    """The member list. `queue`: gets messages to gossip. `log(level, text)`: writes a log line.

    Iterates over the members in probe order; `by_name` finds them.
    """

    def __init__(
        self,
        config: MemberlistConfig,
        clock: Clock,
        rng: Random,
        queue: BroadcastQueue,
        delegate: Delegate,
        log: Callable[[str, str], None],
        metrics: Measures = NOTHING,
    ) -> None:
        self._metrics = metrics
        self.config = config
        self._clock = clock
        self._rng = rng
        self._queue = queue
        self._delegate = delegate
        self._log = log
        self._networks = [ipaddress.ip_network(cidr, strict=False) for cidr in config.allowed_cidrs]
        self._suspicions: dict[str, Suspicion] = {}
        self.by_name: dict[str, Member] = {}
        #: Members in probe order; new ones are inserted at a random position.
        self.probe_order: list[Member] = []
        #: Members by IP address; several at one are a tuple. Only these addresses are sent relayed pings and acks.
        self._by_address: dict[str, Member | tuple[Member, ...]] = {}
        self.awareness = Awareness(config.awareness_max_multiplier)
        self.timeline = Timeline(clock.seconds)
        self.evidence = EvidenceStore(clock.seconds)
        self.incarnation = 0
        self.leaving = False
        self.alive_count = 0
        #: Incremented with each change; validates cached push/pull encodings.
        self.version = 0
        #: Called when a dead message about the local node finished broadcasting during a leave.
        self.on_own_dead_broadcast: Callable[[], None] | None = None
        #: Called with a suspect whose suspicion is about to end (`LAST_ASKED`).
        self.on_suspicion_ending: Callable[[Member], None] = lambda _member: None

    def __len__(self) -> int:
        return len(self.probe_order)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.probe_order)

    @property
    def local(self) -> Member:
        """The local member."""
        return self.by_name[self.config.name]

    def is_member_address(self, address: str) -> bool:
        """Whether any member has this IP address."""
        return address in self._by_address

    def alive_at(self, address: Address) -> Member | None:
        """The member at an IP address and port that is not dead or left."""
        found = self._by_address.get(address[0], ())
        members = found if isinstance(found, tuple) else (found,)
        return next((each for each in members if each.port == address[1] and not each.is_gone), None)

    # -- the local member

    def announce(self) -> None:
        """Broadcast an alive message about the local member, with the delegate's metadata, at a new incarnation."""
        config = self.config
        self.incarnation = following(self.incarnation)
        address, port = str(ipaddress.ip_address(config.advertise[0])), config.advertise[1]
        meta = self._delegate.node_meta()
        assert len(meta) <= 512, "metadata is at most 512 bytes"
        message = Alive(self.incarnation, config.name, address, port, meta, config.vsn)
        self._apply_alive(message, own=True)

    def refute(self, accused: int, peer: str, what: str) -> None:
        """Broadcast an alive message at a higher incarnation than `accused`, against what `peer` claims about us
        (`what`).
        """
        self.incarnation = following(accused if is_newer(accused, self.incarnation) else self.incarnation)
        me = self.local
        me.incarnation, me.node = self.incarnation, None
        self.version += 1
        self.awareness.apply(1)
        self._metrics.incr("memberlist.refutations")
        self.timeline.add(me.name, "refuted", self.incarnation, peer, f"it said {what} at incarnation {accused}")
        level = "info" if peer == me.name else "warn"  # of our own leave, before a new start
        self._log(level, f"refuting a {what} message about ourselves (from {peer or 'gossip'})")
        self._broadcast_alive(me)

    # -- rules

    def handle_alive(self, message: Alive) -> None:
        """Apply an alive message (5.1)."""
        self._apply_alive(message, own=False)

    def _apply_alive(self, message: Alive, own: bool) -> None:
        config, name = self.config, message.node
        mine = name == config.name
        if mine and self.leaving and not own:
            return
        if not message.port:
            message = replace(message, port=config.advertise[1])
        known = self.by_name.get(name)
        if known is not None and not mine and _is_old(known, message):
            return
        if not own and not self._acceptable(message):
            return
        moved = False
        if known is None:
            if not message.incarnation and not own:  # incarnations start at 1; at 0 it would stay dead
                return
            if not self._allowed(message.address) or self._full(name):
                return
            known = self._add(message)
        elif known.address != message.address or known.port != message.port:
            if not self._allowed(message.address):
                return
            moved = self._may_move(known)
            if not moved:
                self._conflict(known, message)
                return
        if mine and not own and message.incarnation < known.incarnation:
            return
        self._end_suspicion(name)
        if mine and not own:
            same = message.incarnation == known.incarnation
            if same and message.meta == known.meta and message.vsn == known.vsn:
                return
            self.refute(message.incarnation, "", "alive (of another process, or of an earlier run)")
            return
        self._become_alive(known, message)

    def _become_alive(self, known: Member, message: Alive) -> None:
        self._metrics.incr("memberlist.msg.alive")
        before, meta = known.state, known.meta
        if known.address != message.address:
            self._remove_address(known)
            known.address = message.address
            self._add_address(known)
        known.incarnation = message.incarnation
        known.meta, known.vsn = message.meta, message.vsn
        known.port, known.node = message.port, None
        if before is not State.ALIVE:
            self._set_state(known, State.ALIVE)
        self.version += 1
        self._broadcast_alive(known)
        if before >= State.DEAD:
            self.timeline.add(known.name, "alive", known.incarnation, detail=f"at {known.address}:{known.port}")
            self._delegate.notify_join(known)
        else:
            if before is State.SUSPECT:
                self.timeline.add(known.name, "alive", known.incarnation, known.name, "it refuted the suspicion")
            if meta != known.meta:
                self.timeline.add(known.name, "updated", known.incarnation, known.name)
                self._delegate.notify_update(known)

    def _is_past(self, known: Member, incarnation: int) -> bool:
        """Whether an accusation is of no effect. One of the local member counts unless its number is lower: its
        sender may compare differently.
        """
        if known.name == self.config.name:
            return incarnation < known.incarnation
        return is_newer(known.incarnation, incarnation)

    def handle_suspect(self, message: Suspect, detail: str = "gossip") -> None:
        """Apply a suspect message (5.2). `detail`: for the timeline, how the failure was detected."""
        known = self.by_name.get(message.node)
        if known is None or self._is_past(known, message.incarnation):
            return
        suspicion = self._suspicions.get(message.node)
        if suspicion is not None:
            if suspicion.confirm(message.accuser):
                self.timeline.add(known.name, "suspicion confirmed", message.incarnation, message.accuser, detail)
                self._queue.queue(message.encode(), message.node)
            return
        if known.state is not State.ALIVE:
            return
        if known.name == self.config.name:
            self.refute(message.incarnation, message.accuser, "suspect")
            return
        self._metrics.incr("memberlist.msg.suspect")
        found_by = "probe" if message.accuser == self.config.name else "gossip"
        cause = "push-pull" if detail == "push/pull" else found_by
        self._metrics.incr("memberlist.suspicions", labels={"cause": cause})
        self._queue.queue(message.encode(), message.node)
        known.incarnation = message.incarnation
        self._set_state(known, State.SUSPECT)
        self.timeline.add(known.name, "suspected", message.incarnation, message.accuser, detail)
        self._start_suspicion(known, message.accuser)

    def handle_dead(self, message: Dead) -> None:
        """Apply a dead message (5.3); the member left if it sent the message itself."""
        known = self.by_name.get(message.node)
        if known is None or self._is_past(known, message.incarnation):
            return
        self._end_suspicion(message.node)
        if known.is_gone:
            if known.state is State.DEAD and message.node == message.accuser:
                self._record_missed_leave(message)
            return
        mine = known.name == self.config.name
        if mine and not self.leaving:
            self.refute(message.incarnation, message.accuser, "dead")
            return
        self._metrics.incr("memberlist.msg.dead")
        self._queue.queue(message.encode(), message.node, self.on_own_dead_broadcast if mine else None)
        known.incarnation = message.incarnation
        left = message.node == message.accuser
        self._set_state(known, State.LEFT if left else State.DEAD)
        self.timeline.add(known.name, "left" if left else "dead", message.incarnation, message.accuser)
        self._delegate.notify_leave(known)

    def _record_missed_leave(self, message: Dead) -> None:
        """Record that a member taken for dead had left by itself: its leave did not arrive here then."""
        ends = [event.what for event in self.timeline.of(message.node) if event.what in ("left", "dead", "force-left")]
        if ends and ends[-1] != "left":
            self.timeline.add(message.node, "left", message.incarnation, message.accuser, "heard of late")

    def adopt(self, nodes: Iterable[NodeState], *, notify: bool = True) -> None:
        """Add members that all others already know: nothing is gossiped or recorded, only the delegate is notified.

        `notify`: False if the delegate knows them too.
        """
        by_name, order, now_s = self.by_name, self.probe_order, self._clock.seconds()
        for node in nodes:
            name, address = node.name, node.address
            if name in by_name or name == self.config.name:
                continue
            state = _STATES[node.state]
            known = Member(name, address, node.port, node.meta, node.vsn, node.incarnation, state, now_s, node=node)
            by_name[name] = known
            order.append(known)
            self._add_address(known)
            if state is State.ALIVE:
                self.alive_count += 1
            if notify and not known.is_gone:
                self._delegate.notify_join(known)
        self._rng.shuffle(order)
        self.version += 1

    # -- helpers of the rules

    def _acceptable(self, message: Alive) -> bool:
        vsn = message.vsn
        if len(vsn) >= 3 and (vsn[0] == 0 or vsn[1] == 0 or vsn[0] > vsn[1]):
            self._log("warn", f"ignored an alive message of {message.node}: protocol versions {vsn} make no sense")
            return False
        if self.config.require_versions and len(vsn) < 6:
            self._log("warn", f"ignored an alive message of {message.node}: it has no protocol versions")
            return False
        try:
            self._delegate.notify_alive(self._member_of(message))
        except MergeRefused as error:
            self.evidence.refuse(error.cause, message.node, str(error), error.ours, error.theirs)
            self._log("warn", f"ignored an alive message of {message.node}: {error}")
            return False
        return True

    def _member_of(self, message: Alive) -> Member:
        at_s = self._clock.seconds()
        return Member(
            message.node,
            message.address,
            message.port,
            message.meta,
            message.vsn,
            message.incarnation,
            State.ALIVE,
            at_s,
        )

    def _allowed(self, address: str) -> bool:
        if not self._networks:
            return True
        found = ipaddress.ip_address(address)
        if any(found in network for network in self._networks):
            return True
        self._log("warn", f"ignored a member at {address}: it is in none of the allowed networks")
        return False

    def _full(self, name: str) -> bool:
        if len(self.probe_order) < MEMBERS_MAX:
            return False
        self._log("error", f"ignored the new member {name}: {MEMBERS_MAX} are known already")
        return True

    def _add(self, message: Alive) -> Member:
        """Add a new member in state dead at incarnation 0, before its alive message is applied."""
        member = self._member_of(message)
        member.state, member.incarnation = State.DEAD, 0
        self.by_name[member.name] = member
        self.probe_order.insert(self._rng.randint(0, len(self.probe_order)), member)
        self._add_address(member)
        return member

    def _may_move(self, known: Member) -> bool:
        if known.state is State.LEFT:
            return True
        reclaim_s = self.config.dead_node_reclaim_time_s
        return known.state is State.DEAD and reclaim_s > 0 and self._clock.seconds() - known.changed_s > reclaim_s

    def _conflict(self, known: Member, message: Alive) -> None:
        where = f"{message.address}:{message.port}"
        self.timeline.add(known.name, "name conflict", message.incarnation, detail=f"{where} claims the name")
        self._log("error", f"two members are called {known.name}: {known.address}:{known.port} and {where}")
        self._delegate.notify_conflict(known, self._member_of(message))

    def _broadcast_alive(self, member: Member) -> None:
        message = Alive(member.incarnation, member.name, member.address, member.port, member.meta, member.vsn)
        self._queue.queue(message.encode(), member.name)

    def _set_state(self, member: Member, state: State) -> None:
        self.alive_count += (state is State.ALIVE) - (member.state is State.ALIVE)
        member.state, member.node = state, None
        member.changed_s = self._clock.seconds()
        self.version += 1

    def _start_suspicion(self, member: Member, accuser: str) -> None:
        config, nodes = self.config, len(self.probe_order)
        expected = config.suspicion_mult - 2
        if nodes - 2 < expected:
            expected = 0
        least_s = suspicion_timeout_s(config.suspicion_mult, nodes, config.probe_interval_s)
        since_s = member.changed_s

        def expire(confirmed: int) -> None:
            self._suspicions.pop(member.name, None)
            if member.state is State.SUSPECT and member.changed_s == since_s:
                self._log(
                    "info", f"marking {member.name} as failed, suspect timeout reached ({confirmed} confirmations)"
                )
                self.handle_dead(Dead(member.incarnation, member.name, config.name))

        self._suspicions[member.name] = Suspicion(
            self._clock,
            accuser,
            expected=expected,
            min_s=least_s,
            max_s=least_s * config.suspicion_max_timeout_mult,
            interval_s=config.probe_interval_s,
            ask=lambda: self.on_suspicion_ending(member),
            expire=expire,
        )

    def _end_suspicion(self, name: str) -> None:
        suspicion = self._suspicions.pop(name, None)
        if suspicion is not None:
            suspicion.cancel()

    def _add_address(self, member: Member) -> None:
        found = self._by_address.get(member.address)
        if found is None:
            self._by_address[member.address] = member
        else:
            self._by_address[member.address] = (*(found if isinstance(found, tuple) else (found,)), member)

    def _remove_address(self, member: Member) -> None:
        found = self._by_address.get(member.address)
        left = [each for each in found if each is not member] if isinstance(found, tuple) else []
        if left:
            self._by_address[member.address] = left[0] if len(left) == 1 else tuple(left)
        else:
            self._by_address.pop(member.address, None)

    # -- housekeeping

    def purge(self) -> None:
        """Remove members that have been dead or left for longer than the dead are gossiped to, and shuffle the probe
        order.
        """
        before_s = self._clock.seconds() - self.config.gossip_to_the_dead_time_s
        gone = [
            each for each in self.probe_order if each.is_gone and each.changed_s < before_s and each is not self.local
        ]
        for member in gone:
            del self.by_name[member.name]
            self._remove_address(member)
            self._queue.drop(member.name)
        if gone:
            self.version += 1
            self.probe_order = [member for member in self.probe_order if member.name in self.by_name]
        self._rng.shuffle(self.probe_order)

    def sample(self, count: int, accept: Callable[[Member], bool]) -> list[Member]:
        """Up to `count` random members for which `accept` is true, never the local one."""
        members, local = self.probe_order, self.by_name.get(self.config.name)
        if len(members) < 3 * count:
            fitting = [member for member in members if member is not local and accept(member)]
            self._rng.shuffle(fitting)
            return fitting[:count]
        found: list[Member] = []
        for _ in range(3 * len(members)):
            member = members[int(self._rng.random() * len(members))]
            if member is not local and member not in found and accept(member):
                found.append(member)
                if len(found) == count:
                    break
        return found

    def stop(self) -> None:
        """Cancel all suspicion timers."""
        for suspicion in self._suspicions.values():
            suspicion.cancel()
        self._suspicions.clear()


def _is_old(known: Member, message: Alive) -> bool:
    """Fast path: whether an alive message about another member changes nothing, by far the most frequent case."""
    if is_newer(message.incarnation, known.incarnation):
        return False
    return known.address == message.address and known.port == message.port
