"""Access control among real programs: our servers and clients, real Consul's, and both together."""

import base64
import itertools
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, Program, environment, eventually, hosts

pytestmark = [pytest.mark.peers]

OWN, REAL = "consulpy", "consul"
MASTER = "cf000000-0000-0000-0000-0000000000aa"
SETTINGS: dict[str, Any] = {
    "performance": {"raft_multiplier": 1, "leave_drain_time": "200ms"},
    "acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}},
}
_blocks = itertools.count(1)


class Datacenter:
    """Agents on addresses of their own."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.block = f"127.{180 + next(_blocks)}.1"
        self.running: dict[int, Program] = {}

    def address(self, number: int) -> str:
        return f"{self.block}.{number}"

    def start(self, number: int, program: str, *flags: str, settings: dict[str, Any] = SETTINGS) -> None:
        place = ["-node", f"n{number}", "-bind", self.address(number), "-client", self.address(number)]
        joins = [flag for other in (1, 2, 3) for flag in ("-retry-join", self.address(other))]
        rest = [*joins, "-retry-interval", "1s", "-data-dir", f"data{number}", "-hcl", json.dumps(settings)]
        self.running[number] = self.host.start(f"n{number}", program, "agent", *place, *rest, *flags)

    def start_servers(self, *programs: str) -> None:
        for number, program in enumerate(programs, 1):
            self.start(number, program, "-server", "-bootstrap-expect", str(len(programs)))

    def ask(
        self, number: int, path: str, token: str = "", method: str = "GET", body: Any = None, raw: bytes | None = None
    ) -> Any:
        """What is answered; ValueError for refusals."""
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{self.address(number)}:8500/v1/{path}", data=data, method=method)
        if token:
            request.add_header("X-Consul-Token", token)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise ValueError(f"{error.code}: {error.read().decode()}") from None
        return json.loads(text) if text else None

    def write_token(self, number: int, name: str, rules: str) -> str:
        """The secret of a new token with these rules."""
        self.ask(number, "acl/policy", MASTER, "PUT", {"Name": name, "Rules": rules})
        token = self.ask(number, "acl/token", MASTER, "PUT", {"Description": name, "Policies": [{"Name": name}]})
        return str(token["SecretID"])

    def leader(self) -> int:
        named = {self.ask(number, "status/leader", MASTER) for number in self.running}
        [number] = [number for number in (1, 2, 3) if named == {f"{self.address(number)}:8300"}]
        return number

    def is_refused(self, number: int, path: str, token: str = "", method: str = "GET", body: Any = None) -> bool:
        try:
            self.ask(number, path, token, method, body)
        except ValueError as error:
            return str(error).startswith("403")
        return False


@pytest.fixture
def datacenter(tmp_path: Path) -> Iterator[Datacenter]:
    with hosts(tmp_path, None) as (only,):
        yield Datacenter(only)


@pytest.mark.parametrize(
    "programs", [(OWN, OWN, OWN), (OWN, REAL, OWN), (REAL, OWN, REAL)], ids=["own", "one real", "two real"]
)
def test_all_servers_judge_alike_whoever_leads(datacenter: Datacenter, programs: tuple[str, ...]) -> None:
    datacenter.start_servers(*programs)
    eventually(datacenter.leader, "all know one leader")
    eventually(lambda: datacenter.ask(1, "acl/token/self", MASTER), "the master token exists")
    rules = 'key_prefix "a/" { policy = "write" } key_prefix "b/" { policy = "read" }'
    token = eventually(lambda: datacenter.write_token(2, "half", rules), "no server is in legacy mode any more")

    def judged_alike() -> bool:
        for number in datacenter.running:
            assert datacenter.ask(number, "kv/a/x", token, "PUT", raw=b"1") is True
            assert datacenter.is_refused(number, "kv/b/x", token, "PUT", 1)
            assert datacenter.is_refused(number, "kv/c/x?stale", token)
            assert datacenter.is_refused(number, "kv/a/x")
            assert datacenter.is_refused(number, "acl/tokens", token)
            found = datacenter.ask(number, "kv/a/x", token)
            assert base64.b64decode(found[0]["Value"]) == b"1"
        return True

    eventually(judged_alike, "every server knows the token and judges as the others")
    gone = datacenter.leader()
    datacenter.running.pop(gone).kill()
    eventually(lambda: datacenter.leader() != gone, "another server leads")
    eventually(judged_alike, "the new leader's datacenter judges alike")
    other = datacenter.write_token(next(iter(datacenter.running)), "more", 'key_prefix "" { policy = "write" }')
    for number in datacenter.running:
        eventually(lambda at=number: datacenter.ask(at, "kv/c/y", other, "PUT", raw=b"1"), "a token of the new leader")
    accessor = datacenter.ask(next(iter(datacenter.running)), "acl/token/self", other)["AccessorID"]
    datacenter.ask(next(iter(datacenter.running)), f"acl/token/{accessor}", MASTER, "DELETE")
    for number in datacenter.running:
        eventually(lambda at=number: datacenter.is_refused(at, "kv/c/y", other), "the token is gone everywhere")


@pytest.mark.parametrize(("server", "client"), [(OWN, REAL), (REAL, OWN), (OWN, OWN)])
def test_a_client_asks_servers_of_the_other_kind(datacenter: Datacenter, server: str, client: str) -> None:
    datacenter.start_servers(server)
    eventually(lambda: datacenter.ask(1, "acl/token/self", MASTER), "the master token exists")
    datacenter.start(4, client)
    token = datacenter.write_token(
        1, "web", 'service "web" { policy = "write" } node_prefix "" { policy = "read" } key "k" { policy = "read" }'
    )
    eventually(lambda: len(datacenter.ask(4, "catalog/nodes", MASTER)) == 2, "the client told of itself")
    # real clients speak as before 1.4 until they have seen what their servers can
    eventually(lambda: datacenter.ask(4, "agent/services", token) is not None, "the client knows the token")
    assert datacenter.is_refused(4, "agent/service/register", "", "PUT", {"Name": "web"})
    assert datacenter.is_refused(4, "agent/service/register", token, "PUT", {"Name": "db"})
    datacenter.ask(4, "agent/service/register", token, "PUT", {"Name": "web", "Port": 1})
    eventually(lambda: datacenter.ask(4, "catalog/service/web", token), "the service is in the catalog")
    assert datacenter.ask(4, "catalog/service/web") == []
    assert list(datacenter.ask(4, "agent/services", token)) == ["web"]
    assert datacenter.ask(4, "agent/services") == {}
    assert datacenter.is_refused(4, "agent/self", token)
    assert datacenter.is_refused(4, "kv/k", token, "PUT", 1)
    assert datacenter.ask(4, "agent/self", MASTER)["Config"]["NodeName"] == "n4"


def test_a_client_agent_says_what_a_token_lacks(datacenter: Datacenter) -> None:
    """What the servers know of a refusal is in a header of the client's answer too."""
    datacenter.start_servers(OWN)
    eventually(lambda: datacenter.ask(1, "acl/token/self", MASTER), "the master token exists")
    datacenter.start(4, OWN)
    token = datacenter.write_token(1, "few", 'key "k" { policy = "read" }')
    eventually(lambda: datacenter.is_refused(4, "kv/k", token, "PUT", 1), "the client reaches the server")
    accessor = datacenter.ask(1, "acl/token/self", token)["AccessorID"]
    request = urllib.request.Request(f"http://{datacenter.address(4)}:8500/v1/kv/k", b"1", method="PUT")
    request.add_header("X-Consul-Token", token)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.read() == b"rpc error making call: Permission denied"
    assert refused.value.headers["X-Consulpy-Denied"] == f'accessor={accessor}, key:write "k"'


@pytest.mark.parametrize("server", [OWN, REAL])
def test_commands_run_with_the_agents_own_tokens(datacenter: Datacenter, server: str) -> None:
    """`exec` wants rights of the one who asks; the agents read the job and write its output by their agent token."""
    settings = SETTINGS | {"disable_remote_exec": False}
    datacenter.start(1, server, "-server", "-bootstrap-expect", "1", settings=settings)
    eventually(lambda: datacenter.ask(1, "acl/token/self", MASTER), "the master token exists")
    datacenter.start(4, OWN, settings=settings)
    eventually(lambda: len(datacenter.ask(4, "agent/members", MASTER)) == 2, "the client has joined")
    rules = """
        event "_rexec" { policy = "write" } key_prefix "_rexec/" { policy = "write" }
        session_prefix "" { policy = "write" } agent_prefix "" { policy = "read" }
    """
    asker, weak = datacenter.write_token(1, "asker", rules), datacenter.write_token(1, "weak", rules.split("\n")[2])

    def printed(program: str, token: str) -> list[str]:
        done = subprocess.run(
            [program, "exec", "-wait=2s", f"-http-addr={datacenter.address(4)}:8500", f"-token={token}", "echo", "hi"],
            env=environment(), capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        return sorted(line.strip() for line in done.stdout.splitlines() if line.endswith(" hi"))

    eventually(lambda: printed(OWN, asker) == ["n1: hi", "n4: hi"], "both run it")
    assert printed(REAL, asker) == ["n1: hi", "n4: hi"]
    for program in (OWN, REAL):
        assert printed(program, weak) == []


@pytest.mark.parametrize(("primary", "secondary"), [(OWN, REAL), (REAL, OWN), (OWN, OWN)])
def test_another_datacenter_copies_tokens_policies_and_roles(
    datacenter: Datacenter, primary: str, secondary: str
) -> None:
    first = SETTINGS | {"primary_datacenter": "dc1"}
    second = SETTINGS | {
        "primary_datacenter": "dc1",
        "datacenter": "dc2",
        "retry_join_wan": [datacenter.address(1)],
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "enable_token_replication": True,
            "tokens": {"agent": MASTER, "replication": MASTER},
        },
    }
    datacenter.start(1, primary, "-server", "-bootstrap-expect", "1", settings=first)
    eventually(lambda: datacenter.ask(1, "acl/token/self", MASTER), "the master token exists")
    token = datacenter.write_token(1, "half", 'key_prefix "a/" { policy = "write" }')
    datacenter.start(5, secondary, "-server", "-bootstrap-expect", "1", "-retry-join", "127.0.0.1:1", settings=second)
    eventually(lambda: datacenter.ask(5, "kv/a/x", token, "PUT", raw=b"1"), "the token was copied")
    assert datacenter.is_refused(5, "kv/b/x", token, "PUT", 1)
    assert datacenter.is_refused(5, "kv/a/x?raw")
    eventually(lambda: datacenter.ask(5, "kv/a/y?dc=dc1", token, "PUT", raw=b"1"), "the other datacenter is reached")
    status = datacenter.ask(5, "acl/replication", MASTER)
    assert (status["Enabled"], status["Running"], status["SourceDatacenter"]) == (True, True, "dc1")
    # written in the secondary one, it is the primary's; a local one stays
    policy = datacenter.ask(5, "acl/policy", MASTER, "PUT", {"Name": "more", "Rules": 'key "c" { policy = "write" }'})
    assert datacenter.ask(1, f"acl/policy/{policy['ID']}", MASTER)["Name"] == "more"
    eventually(lambda: datacenter.ask(5, f"acl/policy/{policy['ID']}", MASTER), "the policy was copied")
    local = datacenter.ask(5, "acl/token", MASTER, "PUT", {"Local": True, "Policies": [{"Name": "more"}]})["SecretID"]
    assert datacenter.ask(5, "kv/c", local, "PUT", raw=b"1") is True
    assert datacenter.is_refused(1, "kv/c", local)
    # what goes there goes here
    accessor = datacenter.ask(1, "acl/token/self", token)["AccessorID"]
    datacenter.ask(1, f"acl/token/{accessor}", MASTER, "DELETE")
    eventually(lambda: datacenter.is_refused(5, "kv/a/x", token), "the token is gone")
    assert datacenter.ask(5, "kv/c", local, "PUT", raw=b"2") is True


@pytest.mark.parametrize(("primary", "secondary"), [(OWN, REAL), (REAL, OWN), (OWN, OWN)])
def test_another_datacenter_that_copies_no_tokens_asks_for_them(
    datacenter: Datacenter, primary: str, secondary: str
) -> None:
    """Its servers read tokens in the primary datacenter and keep them; what they know lasts while that is away."""
    second = SETTINGS | {
        "primary_datacenter": "dc1",
        "datacenter": "dc2",
        "retry_join_wan": [datacenter.address(1)],
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "token_ttl": "1s",
            "tokens": {"agent": MASTER, "replication": MASTER},
        },
    }
    datacenter.start(1, primary, "-server", "-bootstrap-expect", "1", settings=SETTINGS | {"primary_datacenter": "dc1"})
    eventually(lambda: datacenter.ask(1, "acl/token/self", MASTER), "the master token exists")
    token = datacenter.write_token(1, "half", 'key_prefix "a/" { policy = "write" }')
    datacenter.start(5, secondary, "-server", "-bootstrap-expect", "1", "-retry-join", "127.0.0.1:1", settings=second)
    eventually(lambda: datacenter.ask(5, "kv/a/x", token, "PUT", raw=b"1"), "the token is known")
    assert datacenter.is_refused(5, "kv/b/x", token, "PUT", 1)
    assert datacenter.is_refused(5, "kv/a/x?raw")
    assert datacenter.ask(5, "acl/replication", MASTER)["ReplicationType"] == "policies"
    made = datacenter.ask(5, "acl/token", MASTER, "PUT", {"Description": "of the primary"})
    assert datacenter.ask(1, f"acl/token/{made['AccessorID']}", MASTER)["Description"] == "of the primary"
    accessor = datacenter.ask(1, "acl/token/self", token)["AccessorID"]
    datacenter.ask(1, f"acl/token/{accessor}", MASTER, "DELETE")
    eventually(lambda: datacenter.is_refused(5, "kv/a/x", token), "the token is gone")
    datacenter.running[1].kill()
    assert datacenter.ask(5, "kv/a/x", MASTER, "PUT", raw=b"2") is True
