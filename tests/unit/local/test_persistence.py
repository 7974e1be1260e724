"""Storage of registrations: in Consul's own files, atomic, restored at the next start."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.errors import ConfigError, RPCError
from consulpy.local.definitions import check_from_body, service_from_body
from consulpy.local.load import configure, restore
from consulpy.local.persist.disk import JOURNAL, JournaledDirectory
from consulpy.local.persist.records import CHECKS, PersistedCheck, PersistedCheckState, PersistedService, path_of
from consulpy.local.state import LocalState, Scripts
from consulpy.structs.check import HealthCheck
from consulpy.structs.definition import CheckType
from tests.fakes.local import Fraction, node
from tests.harness.local_agent import Starter
from tests.harness.ttl_checks import TtlStarter

#: Written by a real agent (with another node name).
SERVICE = (
    b'{"Token":"","Service":{"ID":"s/1","Service":"web","Tags":["a"],"Address":"10.1.1.1","TaggedAddresses":'
    b'{"lan_ipv4":{"Address":"10.1.1.1","Port":80},"wan_ipv4":{"Address":"10.1.1.1","Port":80}},"Meta":{"a":"b"},'
    b'"Port":80,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"MeshGateway":{},"Expose":{}},'
    b'"Connect":{},"CreateIndex":0,"ModifyIndex":0},"Source":"remote"}'
)
SERVICE_FILE = "7eaa2a453857f1912f02e8b2213fcb77"
CHECK = (
    b'{"Check":{"Node":"c1","CheckID":"ttl1","Name":"Service \'web\' check","Status":"critical","Notes":"","Output":"",'
    b'"ServiceID":"s/1","ServiceName":"web","ServiceTags":["a"],"Type":"ttl","Definition":{},"CreateIndex":0,'
    b'"ModifyIndex":0},"ChkType":{"CheckID":"ttl1","Name":"","Status":"","Notes":"","ScriptArgs":null,"HTTP":"",'
    b'"Header":null,"Method":"","Body":"","TCP":"","Interval":0,"AliasNode":"","AliasService":"","DockerContainerID":"",'
    b'"Shell":"","GRPC":"","GRPCUseTLS":false,"TLSSkipVerify":false,"Timeout":0,"TTL":3600000000000,'
    b'"SuccessBeforePassing":0,"FailuresBeforeCritical":0,"ProxyHTTP":"","ProxyGRPC":"",'
    b'"DeregisterCriticalServiceAfter":7200000000000,"OutputMaxSize":0},"Token":"","Source":"remote"}'
)
CHECK_FILE = "b0632820b550ba1152c39a75332c4c0f"
STATE = b'{"CheckID":"ttl1","Output":"xx","Status":"passing","Expires":1795419684}'
BODY = (
    b'{"ID":"s/1","Name":"web","Port":80,"Tags":["a"],"Address":"10.1.1.1","Meta":{"a":"b"},"Checks":[{"CheckID":"ttl1",'
    b'"TTL":"1h","DeregisterCriticalServiceAfter":"2h"}]}'
)


class Agent:
    def __init__(self, root: Path, wall_s: float = 1795416084) -> None:
        self.root, self.wall_s = root, wall_s
        self.files = JournaledDirectory(root)
        clock = Clock()
        self.local = LocalState(
            node(), clock, Fraction(), files=self.files, starter=TtlStarter(clock), wall_s=lambda: self.wall_s
        )

    def restore(self) -> Any:
        return restore(self.local, self.files, lambda: self.wall_s)

    def register(self) -> None:
        self.local.register_service(service_from_body(BODY))


def test_files_are_byte_for_byte_those_of_consul(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.register()
    agent.local.update_ttl("ttl1", "passing", "xx")
    assert (tmp_path / "services" / SERVICE_FILE).read_bytes() == SERVICE
    assert (tmp_path / "checks" / CHECK_FILE).read_bytes() == CHECK
    assert (tmp_path / "checks" / "state" / CHECK_FILE).read_bytes() == STATE
    assert not (tmp_path / JOURNAL).exists()


def test_records_survive_the_disk() -> None:
    assert PersistedService.unpack(SERVICE).pack() == SERVICE
    assert PersistedCheck.unpack(CHECK).pack() == CHECK
    assert PersistedCheckState.unpack(STATE).pack() == STATE


def test_a_restarted_agent_has_what_it_had(tmp_path: Path) -> None:
    before = Agent(tmp_path)
    before.register()
    before.local.update_ttl("ttl1", "passing", "xx")
    before.local.set_service_maintenance("s/1", True, "why")

    after = Agent(tmp_path)
    found = after.restore()

    assert after.local.services == before.local.services
    assert after.local.checks == before.local.checks
    assert (found.services, sorted(found.checks), found.unknown) == (["s/1"], ["_service_maintenance:s/1", "ttl1"], [])


def test_a_check_starts_critical_when_its_stored_state_has_expired(tmp_path: Path) -> None:
    before = Agent(tmp_path)
    before.register()
    before.local.update_ttl("ttl1", "passing", "xx")

    after = Agent(tmp_path, wall_s=1795416084 + 3601)
    found = after.restore()

    assert after.local.checks["ttl1"].status == "critical"
    assert found.unknown == ["ttl1"]


@pytest.mark.parametrize(
    ("scripts", "stored", "runs"),
    [
        (Scripts(remote=True, local=True), "remote", True),
        (Scripts(remote=False, local=True), "remote", False),
        (Scripts(remote=False, local=True), "local", True),
        (Scripts(remote=False, local=False), "local", False),
        (Scripts(remote=False, local=False), "remote", False),
    ],
)
def test_a_stored_script_runs_only_where_scripts_are_enabled_now(
    tmp_path: Path, scripts: Scripts, stored: str, runs: bool
) -> None:
    kind = CheckType(script_args=["true"], interval=10**9)
    found = PersistedCheck(HealthCheck(check_id="c", name="c"), kind, source=stored)
    files, starter = JournaledDirectory(tmp_path), Starter()
    files.commit({path_of(CHECKS, "c"): found.pack()})
    local = LocalState(node(), Clock(), Fraction(), files=files, starter=starter, scripts=scripts)
    restore(local, files, lambda: 0.0)
    assert ("c" in starter.running) is runs
    assert local.checks["c"].status == "critical"
    assert local.checks["c"].output.startswith("" if runs else "Scripts are disabled on this agent")
    assert (tmp_path / path_of(CHECKS, "c")).read_bytes() == found.pack()


def test_a_stored_check_that_cannot_run_is_critical_and_says_why(tmp_path: Path) -> None:
    files, starter = JournaledDirectory(tmp_path), Starter()
    found = PersistedCheck(HealthCheck(check_id="c", name="c"), CheckType(http="http://x/"))
    files.commit({path_of(CHECKS, "c"): found.pack()})
    local = LocalState(node(), Clock(), Fraction(), files=files, starter=starter)
    restore(local, files, lambda: 0.0)
    assert starter.running == {}
    assert "Interval must be > 0" in local.checks["c"].output


@pytest.mark.parametrize("folder", ["services", "checks", "checks/state"])
def test_a_file_in_the_place_of_a_folder_is_no_empty_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    (tmp_path / folder).write_text("x")
    with pytest.raises(NotADirectoryError, match=folder):
        Agent(tmp_path).restore()


def test_deregistered_is_gone_from_disk(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.register()
    agent.local.update_ttl("ttl1", "passing", "")
    agent.local.deregister_service("s/1")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_check_without_its_service_is_removed(tmp_path: Path) -> None:
    Agent(tmp_path).register()
    (tmp_path / "services" / SERVICE_FILE).unlink()
    after = Agent(tmp_path)
    after.restore()
    assert after.local.checks == {}
    assert not (tmp_path / "checks" / CHECK_FILE).exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b'{"Service":5}', b'{"Service":{}}'])
def test_damaged_files_are_skipped_and_left_in_place(tmp_path: Path, damage: bytes) -> None:
    Agent(tmp_path).register()
    bad = tmp_path / "services" / "damaged"
    bad.write_bytes(damage)
    after = Agent(tmp_path)
    assert after.restore().damaged == ["services/damaged"]
    assert set(after.local.services) == {"s/1"}
    assert bad.read_bytes() == damage


@pytest.mark.parametrize("crash_at", range(1, 14))
def test_a_registration_is_atomic_when_killed(tmp_path: Path, crash_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flush to disk is a place to die; afterwards service and check are both there, or neither."""
    agent = Agent(tmp_path)
    calls = 0
    real, real_data = os.fsync, os.fdatasync

    class Killed(BaseException):
        pass

    def dying(flush: Callable[[int], None]) -> Callable[[int], None]:
        def flushing(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls == crash_at:
                raise Killed
            flush(descriptor)

        return flushing

    monkeypatch.setattr(os, "fsync", dying(real))
    monkeypatch.setattr(os, "fdatasync", dying(real_data))
    with contextlib.suppress(Killed):
        agent.register()
    monkeypatch.undo()

    after = Agent(tmp_path)
    after.restore()

    assert len(after.local.services) == len(after.local.checks)
    assert not (tmp_path / JOURNAL).exists()


def test_a_full_disk_refuses_the_registration_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(RPCError, match="No space left on device"):
        agent.register()
    assert agent.local.services == {}


def test_files_are_private(tmp_path: Path) -> None:
    """They hold tokens."""
    Agent(tmp_path).register()
    assert (tmp_path / "services" / SERVICE_FILE).stat().st_mode & 0o777 == 0o600


def test_configured_services_take_precedence_and_are_not_stored(tmp_path: Path) -> None:
    Agent(tmp_path).register()
    after = Agent(tmp_path)
    configure(after.local, [{"id": "s/1", "name": "configured"}], [{"name": "k", "ttl": "1h"}])
    after.restore()
    assert after.local.services["s/1"].service == "configured"
    assert not (tmp_path / "services" / SERVICE_FILE).exists()
    assert "k" in after.local.checks


def test_a_reload_drops_what_the_configuration_no_longer_has(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.register()
    configure(agent.local, [{"name": "a"}, {"name": "b"}], [{"name": "k", "ttl": "1h"}])
    configure(agent.local, [{"name": "b", "port": 1}], [])
    assert set(agent.local.services) == {"s/1", "b"}
    assert set(agent.local.checks) == {"ttl1"}


def test_errors_name_the_invalid_definition() -> None:
    local = LocalState(node(), Clock(), Fraction())
    with pytest.raises(ConfigError, match="web: service 'web': json: unknown field \"prot\""):
        configure(local, [{"Name": "web", "prot": 80}], [])


def test_development_mode_stores_nothing() -> None:
    local = LocalState(node(), Clock(), Fraction())
    local.register_check(check_from_body(b'{"Name":"k","TTL":"1h"}'))
    assert set(local.checks) == {"k"}
