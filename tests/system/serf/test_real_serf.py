"""Our Serf beside real Serf and Consul agents, over real sockets (docs/wire/gossip.md 6 and 9)."""

import base64
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.member import JoinTarget
from consulpy.memberlist.transport import GossipTransport
from consulpy.serf.config import SerfConfig
from consulpy.serf.disk import SnapshotFile
from consulpy.serf.events import Event, MemberEvent, QueryEvent, UserEvent
from consulpy.serf.key_manager import KeyResponse
from consulpy.serf.machine import Serf
from consulpy.serf.members import Status
from consulpy.serf.query import QueryParams, QueryResult
from tests.peers.process import spawn
from tests.peers.programs import PATIENCE_S

pytestmark = [pytest.mark.peers]

reactor: Any = installed_reactor
#: Loopback addresses of this run; runs beside each other have other ones.
BLOCK = "127.31.1"
OURS, THEIRS = f"{BLOCK}.1", f"{BLOCK}.2"
KEY, OTHER_KEY = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


class Ours:
    """Our Serf with its sockets, and what it was told."""

    def __init__(self, config: SerfConfig, name: str = "ours", port: int = 7946, **arguments: Any) -> None:
        keyring = arguments.pop("keyring", None)
        self.events: list[Event] = []
        self.transport = GossipTransport(reactor, OURS, port)
        members = MemberlistConfig.lan(name=name, advertise=(OURS, port), keyring=keyring)
        self.log: list[str] = []
        self.serf = Serf(
            config,
            members,
            reactor,
            Random(5),
            self.transport,
            self.told,
            log=lambda level, text: self.log.append(f"{level}: {text}"),
            **arguments,
        )
        self.transport.attach(self.serf.memberlist)

    def told(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, QueryEvent):
            event.respond(b"our answer to " + event.payload)

    def status(self, name: str) -> Status:
        member = self.serf.members.get(name)
        return member.status if member is not None else Status.NONE

    def happened(self, name: str) -> list[str]:
        """The member events about `name`."""
        events = [event for event in self.events if isinstance(event, MemberEvent)]
        return [event.kind.value for event in events for member in event.members if member.name == name]

    async def join(self, port: int) -> None:
        done: Deferred[tuple[int, list[str]]] = Deferred()
        self.serf.join([JoinTarget((THEIRS, port))], True, lambda count, errors: done.callback((count, errors)))
        assert await done == (1, [])

    async def leave(self) -> None:
        done: Deferred[None] = Deferred()
        self.serf.leave(lambda: done.callback(None))
        await done


@asynccontextmanager
async def running(ours: Ours) -> AsyncIterator[Ours]:
    ours.transport.startService()
    ours.serf.start()
    try:
        yield ours
    finally:
        ours.serf.shutdown()
        ours.transport.stopService()
        await deferLater(reactor, 0, lambda: None)


async def eventually(check: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
    """Wait until `check` (which may be awaitable) gives something true."""
    deadline_s = reactor.seconds() + within_s
    while reactor.seconds() < deadline_s:
        found = check()
        found = await found if isinstance(found, Awaitable) else found
        if found:
            return found
        await deferLater(reactor, 0.05, lambda: None)
    raise AssertionError(f"not within {within_s:g} s: {what}")


async def run(*command: str) -> str:
    """What a command prints; it must succeed."""
    out, error, status = await getProcessOutputAndValue(command[0], command[1:], env=os.environ)
    assert status == 0, f"{command}: {out!r} {error!r}"
    text: str = out.decode()
    return text


async def serf(*arguments: str) -> str:
    return await run("/usr/bin/env", "serf", arguments[0], f"-rpc-addr={THEIRS}:7373", *arguments[1:])


async def consul(*arguments: str) -> str:
    return await run("/usr/bin/env", "consul", arguments[0], f"-http-addr={THEIRS}:8500", *arguments[1:])


class Agent:
    """A real agent's process."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.log = folder / f"{command[0]}.log"
        with self.log.open("wb") as log:
            self.process = spawn(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


@pytest.fixture
def agents() -> Iterator[list[Agent]]:
    started: list[Agent] = []
    yield started
    for agent in started:
        agent.end()


def serf_agent(agents: list[Agent], folder: Path, *flags: str) -> Agent:
    answer = "cat > answer; echo theirs to $(cat answer)"
    agents.append(
        Agent(
            folder,
            *("serf", "agent", "-node=theirs", f"-bind={THEIRS}:7946", f"-rpc-addr={THEIRS}:7373"),
            *("-tag=role=web", "-log-level=debug", f"-event-handler=query:ask={answer}", *flags),
        )
    )
    return agents[-1]


async def both_alive(ours: Ours, port: int) -> None:
    """Join, again and again until the real agent listens."""

    async def once() -> bool:
        done: Deferred[int] = Deferred()
        ours.serf.join([JoinTarget((THEIRS, port))], True, lambda count, _errors: done.callback(count))
        return bool(await done)

    await eventually(once, f"joined: {ours.log}")


async def listed(*words: str) -> bool:
    """Whether the real agent lists us with all of `words`."""
    try:
        lines = (await serf("members")).splitlines()
    except AssertionError:  # it does not answer yet
        return False
    return any(all(word in line for word in ("ours", *words)) for line in lines)


def agents_config(**changes: Any) -> SerfConfig:
    return SerfConfig(protocol_version=5, tags={"role": "ours", "zone": "b"}, **changes)


@pytest_twisted.ensureDeferred
async def test_members_tags_events_queries_and_a_leave_with_a_serf_agent(agents: list[Agent], tmp_path: Path) -> None:
    serf_agent(agents, tmp_path)
    async with running(Ours(agents_config())) as ours:
        await both_alive(ours, 7946)
        assert ours.serf.members["theirs"].tags == {"role": "web"}
        assert ours.serf.members["theirs"].delegate_cur == 5

        await eventually(lambda: listed("alive", "role=ours", "zone=b"), "listed alive with tags")

        ours.serf.set_tags({"role": "new"})
        await eventually(lambda: listed("alive", "role=new"), "our changed tags")
        await serf("tags", "-set", "color=red")
        await eventually(lambda: ours.serf.members["theirs"].tags.get("color") == "red", "their changed tags")
        assert ours.happened("theirs")[-1] == "update"

        await serf("event", "-coalesce=false", "deploy", "v1")
        fired = UserEvent(1, "deploy", b"v1", False)
        await eventually(lambda: fired in ours.events, "their user event")
        ours.serf.user_event("ours-fired", b"v2", False)
        log = agents[0].log
        await eventually(lambda: "user: ours-fired" in log.read_text() or "ours-fired" in log.read_text(), "ours")

        said = await serf("query", "-node=ours", "-timeout=2s", "ask", "them")
        assert "Response from 'ours': our answer to them" in said
        answers: Deferred[QueryResult] = Deferred()
        params = QueryParams(filter_tags={"role": "we."}, request_ack=True, timeout_s=2.0)
        ours.serf.query("ask", b"us", params, done=answers.callback)
        result = await answers
        assert result.responses == {"theirs": b"theirs to us\n"}
        assert result.acks == ["theirs"]

        reached = await serf("reachability")
        assert "Successfully contacted all live nodes" in reached
        await eventually(lambda: ours.serf.cached_coordinate("theirs"), "their coordinate")

        async def rtt() -> bool:
            try:
                return "Estimated ours <-> theirs rtt" in await serf("rtt", "ours", "theirs")
            except AssertionError:
                return False

        await eventually(rtt, "their word for the distance")
        await ours.leave()
        await eventually(lambda: listed("left"), "left, not failed")
        assert "EventMemberFailed: ours" not in log.read_text()


@pytest_twisted.ensureDeferred
async def test_a_serf_agent_that_leaves_has_left_and_one_that_is_killed_has_failed(
    agents: list[Agent], tmp_path: Path
) -> None:
    agent = serf_agent(agents, tmp_path)
    async with running(Ours(agents_config())) as ours:
        await both_alive(ours, 7946)
        # alone, it would leave without an intent, and who leaves so has failed (docs/wire/gossip.md 6.8)
        await eventually(lambda: listed("alive"), "listed by the one that leaves")
        agent.process.send_signal(signal.SIGINT)
        await eventually(lambda: ours.status("theirs") is Status.LEFT, "left")
        assert ours.happened("theirs") == ["join", "leave"]
        agent.process.wait(60)

        again = serf_agent(agents, tmp_path)
        await eventually(lambda: "agent: Serf agent starting" in again.log.read_text(), "started")
        await both_alive(ours, 7946)
        await eventually(lambda: ours.status("theirs") is Status.ALIVE, "back")
        again.end()
        await eventually(lambda: ours.status("theirs") is Status.FAILED, "failed")
        assert ours.happened("theirs") == ["join", "leave", "join", "failed"]
        ours.serf.force_leave("theirs")
        assert ours.status("theirs") is Status.LEFT


@pytest_twisted.ensureDeferred
async def test_keys_are_rotated_by_either_side(agents: list[Agent], tmp_path: Path) -> None:
    """6.5: install, use, remove, list, each answered by everybody."""
    serf_agent(agents, tmp_path, f"-encrypt={KEY}")
    saved: list[list[bytes]] = []
    keyring = Keyring([base64.b64decode(KEY)])

    def save(keys: list[bytes], done: Callable[[Exception | None], None]) -> None:
        saved.append(keys)
        done(None)

    async with running(Ours(agents_config(), keyring=keyring, save_keyring=save)) as ours:
        await both_alive(ours, 7946)
        assert f"{KEY}  [2/2]" in await serf("keys", "-list")
        await serf("keys", f"-install={OTHER_KEY}")
        assert [base64.b64encode(key).decode() for key in saved[-1]] == [KEY, OTHER_KEY]
        answers: list[KeyResponse] = []
        ours.serf.keys.use(OTHER_KEY, answers.append)
        await eventually(lambda: answers, "everybody uses the new key")
        assert (answers[0].error, answers[0].num_resp) == (None, 2)
        await serf("keys", f"-remove={KEY}")
        assert keyring.keys == [base64.b64decode(OTHER_KEY)]
        listed: list[KeyResponse] = []
        ours.serf.keys.list(listed.append)
        await eventually(lambda: listed, "the list")
        assert listed[0].keys == listed[0].primary_keys == {OTHER_KEY: 2}


def consul_tags() -> dict[str, str]:
    """Section 9.2, a client."""
    identity = "11111111-2222-3333-4444-555555555555"
    versions = {"vsn": "2", "vsn_min": "2", "vsn_max": "3", "build": "1.8.7:"}
    return {"role": "node", "dc": "dc1", "segment": "", "id": identity, "acls": "0", **versions}


@pytest_twisted.ensureDeferred
async def test_a_consul_server_takes_us_as_a_client_and_tells_its_events(agents: list[Agent], tmp_path: Path) -> None:
    agents.append(
        Agent(
            tmp_path,
            *("consul", "agent", "-server", "-bootstrap-expect=1", "-node=theirs", f"-data-dir={tmp_path / 'data'}"),
            *(f"-bind={THEIRS}", f"-client={THEIRS}", "-disable-host-node-id", "-log-level=debug"),
        )
    )
    snapshot = tmp_path / "local.snapshot"
    ours = Ours(SerfConfig.consul(tags=consul_tags()), port=8301, snapshot=SnapshotFile(snapshot))
    async with running(ours):
        await both_alive(ours, 8301)
        assert ours.serf.members["theirs"].tags["role"] == "consul"

        async def listed(*words: str) -> bool:
            lines = (await consul("members")).splitlines()
            return any(all(word in line for word in ("ours", *words)) for line in lines)

        await eventually(lambda: listed("alive", "client", "1.8.7", "dc1"), "listed by consul members")
        await eventually(
            lambda: (
                any(isinstance(event, UserEvent) and event.name == "consul:new-leader" for event in ours.events)
                or "theirs" in ours.serf.members
            ),
            "the leader's word",
        )

        async def fired() -> bool:
            try:
                await consul("event", "-name=deploy", "v1")
            except AssertionError:
                return False
            return True

        await eventually(fired, "an event, once there is a leader")
        await eventually(
            lambda: any(isinstance(event, UserEvent) and event.name == "consul:event:deploy" for event in ours.events),
            "their event",
        )
        await ours.leave()
        await eventually(lambda: listed("left"), "left")
        assert "EventMemberFailed: ours" not in agents[0].log.read_text()
    assert snapshot.read_text().endswith("leave\n")


@pytest_twisted.ensureDeferred
async def test_we_find_our_cluster_again_by_the_snapshot(agents: list[Agent], tmp_path: Path) -> None:
    """6.11: a restart without a leave joins who was there."""
    serf_agent(agents, tmp_path)
    path = tmp_path / "local.snapshot"
    async with running(Ours(agents_config(), snapshot=SnapshotFile(path))) as ours:
        await both_alive(ours, 7946)
        await eventually(lambda: f"alive: theirs {THEIRS}:7946\n" in path.read_text(), "written down")
    async with running(Ours(agents_config(), snapshot=SnapshotFile(path))) as ours:
        await eventually(lambda: ours.status("theirs") is Status.ALIVE, "joined again")
        assert "info: re-joined to previously known node: theirs" in ours.log


@pytest_twisted.ensureDeferred
async def test_a_name_that_is_taken_is_given_up(agents: list[Agent], tmp_path: Path) -> None:
    """6.5: most members know the other one under our name, so that we end."""
    serf_agent(agents, tmp_path)
    ended: list[str] = []
    first = Ours(agents_config(), name="watcher")
    async with running(first):
        await both_alive(first, 7946)  # it listens now, so that the third one's only try to join works
        third = Agent(
            tmp_path,
            *(
                "serf",
                "agent",
                "-node=third",
                f"-bind={BLOCK}.3:7946",
                f"-rpc-addr={BLOCK}.3:7373",
                f"-join={THEIRS}:7946",
            ),
        )
        agents.append(third)
        await eventually(lambda: first.status("third") is Status.ALIVE, "the third one")
    ours = Ours(agents_config(), name="theirs", on_shutdown=ended.append)
    async with running(ours):
        await both_alive(ours, 7946)
        await eventually(lambda: ended, f"we give up: {ours.log}")
    assert ended[0].startswith("minority in name conflict resolution [0 / ")
    assert agents[0].process.poll() is None
