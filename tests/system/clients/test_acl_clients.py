"""Client libraries with access control on: one program, at a real agent and at ours; both see the same."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import consul
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.peers.programs import Host, eventually, hosts
from tests.system.clients.acl_servers import ADDRESSES, MASTER, servers_with_acls
from tests.system.clients.conftest import npm_modules, python_program

pytestmark = [pytest.mark.peers]

READ, WRITE = {"policy": "read"}, {"policy": "write"}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: What differs from run to run, or is only told by newer versions.
_ANY = ("Hash", "CreateIndex", "ModifyIndex", "CreateTime", "ExpirationTime", "LockIndex", "Session")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server of each program; host:port of its HTTP by the program's name."""
    with servers_with_acls(tmp_path_factory.mktemp("acl")) as running:
        yield running


class Seen:
    """What a program saw, step by step, with ids as their names in order of appearance."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self._ids: dict[str, str] = {MASTER: "master"}

    def plain(self, value: Any) -> Any:
        """The value without what differs from run to run."""
        if isinstance(value, dict):
            return {key: self.plain(each) for key, each in value.items() if key not in _ANY}
        if isinstance(value, list | tuple):
            return [self.plain(each) for each in value]
        if isinstance(value, str):
            return _UUID.sub(lambda found: self._ids.setdefault(found[0], f"id-{len(self._ids)}"), value)
        return value

    def see(self, what: str, call: Callable[[], Any]) -> Any:
        """Call, and note the result or the error; the result as it came."""
        try:
            found = call()
        except consul.ConsulException as error:
            self.steps.append((what, type(error).__name__, self.plain(str(error))))
            return None
        self.steps.append((what, self.plain(found)))
        return found


def sorted_by(key: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row[key]))


def a_login(address: str, see: Callable[..., Any], root: consul.Consul) -> None:
    """An auth method, a rule, a login with a JWT, and what that token may."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    settings = {
        "JWTValidationPubKeys": [public],
        "BoundIssuer": "tests",
        "BoundAudiences": ["consul"],
        "ClaimMappings": {"team": "team"},
    }
    made = root.acl.auth_method.create("tests", "jwt", config=settings, max_token_ttl="5m")
    see("method", lambda: {**made, "Config": {**made["Config"], "JWTValidationPubKeys": "a key"}})
    see("methods", root.acl.auth_method.list)
    rule = see("rule", lambda: root.acl.binding_rule.create("tests", "role", "reader", selector='value.team == "blue"'))
    see("rules", lambda: root.acl.binding_rule.list("tests"))

    def bearer(**claims: Any) -> str:
        now = int(time.time())
        given = {"iss": "tests", "aud": "consul", "sub": "me", "iat": now, "nbf": now, "exp": now + 60, **claims}
        return jwt.encode(given, private, algorithm="ES256")

    nobody = consul.Consul(host=address)
    login = see("login", lambda: nobody.acl.login("tests", bearer(team="blue"), meta={"who": "me"}))
    mine = consul.Consul(host=address, token=login["SecretID"])
    see("as who logged in", lambda: mine.kv.get("app/a")[1]["Value"].decode())
    see("who logged in may not write", lambda: mine.kv.put("app/a", "2"))
    see("no rule", lambda: nobody.acl.login("tests", bearer(team="red")))
    see("no method", lambda: nobody.acl.login("others", bearer(team="blue")))
    for what, claims in (("audience", {"aud": "x"}), ("issuer", {"iss": "x"}), ("expired", {"exp": 1})):
        with pytest.raises(consul.ConsulException):
            nobody.acl.login("tests", bearer(team="blue", **claims))
        see(f"wrong {what} is refused", lambda: True)
    see("logout", lambda: nobody.acl.logout(login["SecretID"]))
    see("after it", lambda: mine.kv.get("app/a"))
    see("rule deleted", lambda: root.acl.binding_rule.delete(rule["ID"]))
    see("method deleted", lambda: root.acl.auth_method.delete("tests"))


def py_consul_program(address: str) -> list[Any]:
    """What py-consul's users do with tokens, policies, roles and logins."""
    seen = Seen()
    see = seen.see
    root, nobody = consul.Consul(host=address, token=MASTER), consul.Consul(host=address)
    see("bootstrap is over", root.acl.bootstrap)
    rules = {"key_prefix": {"app/": READ}, "service": {"web": WRITE}, "session_prefix": {"": WRITE}}
    policy = see("policy", lambda: root.acl.policy.create("app", description="reads", rules=rules))
    see("the same name again", lambda: root.acl.policy.create("app"))
    see("bad rules", lambda: root.acl.policy.create("bad", rules={"key": {"a": {"policy": "maybe"}}}))
    see("policies", lambda: sorted_by("Name", root.acl.policy.list()))
    see("read", lambda: root.acl.policy.read(policy["ID"]))
    see("update", lambda: root.acl.policy.update(policy["ID"], "app", description="more", rules=rules))
    role = see("role", lambda: root.acl.role.create("reader", policies_name=["app"]))
    see("roles", root.acl.role.list)
    see("role by name", lambda: root.acl.role.read_by_name("reader"))
    token = see("token", lambda: root.acl.token.create(roles_name=["reader"], description="of the app"))
    see("token with a policy that is not there", lambda: root.acl.token.create(policies_name=["nothing"]))
    see("tokens", lambda: sorted_by("Description", root.acl.token.list()))
    mine = consul.Consul(host=address, token=token["SecretID"])
    see("self", mine.acl.token.read_self)
    see("root writes", lambda: root.kv.put("app/a", "1"))
    see("root writes elsewhere", lambda: root.kv.put("other", "1"))
    see("mine", lambda: mine.kv.get("app/a")[1]["Value"].decode())
    see("not mine", lambda: mine.kv.get("other"))
    see("nobody's", lambda: nobody.kv.get("app/a"))
    see("keys that I see", lambda: mine.kv.get("", recurse=True)[1])
    see("write", lambda: mine.kv.put("app/a", "2"))
    see("transaction", lambda: mine.txn.put([{"KV": {"Verb": "set", "Key": "app/a", "Value": "MQ=="}}]))
    see("register", lambda: mine.agent.service.register("web", port=80))
    see("register another", lambda: mine.agent.service.register("db", port=81))
    eventually(lambda: root.catalog.service("web")[1], "web is in the catalog")
    see("services", lambda: sorted(mine.catalog.services()[1]))
    see("nobody's services", lambda: sorted(nobody.catalog.services()[1]))
    see("nodes that I see", lambda: mine.catalog.nodes()[1])
    see("members", lambda: [each["Name"] for each in mine.agent.members()])
    see("nobody's health", lambda: nobody.health.service("web")[1])
    see("session on a node", lambda: bool(mine.session.create()))
    see("event", lambda: mine.event.fire("deploy"))
    see("query", lambda: mine.query.create("web"))
    a_login(address, see, root)
    clone = see("clone", lambda: root.acl.token.clone(token["AccessorID"], description="second"))
    see("update token", lambda: root.acl.token.update(token["AccessorID"], description="none", policies_name=[]))
    see("rights are gone", lambda: mine.kv.get("app/a"))
    see("the clone has them", lambda: consul.Consul(host=address, token=clone["SecretID"]).kv.get("app/a")[1]["Key"])
    see("role deleted", lambda: root.acl.role.delete(role["ID"]))
    see("the clone's are gone", lambda: consul.Consul(host=address, token=clone["SecretID"]).kv.get("app/a"))
    see("token deleted", lambda: root.acl.token.delete(token["AccessorID"]))
    see("is not found", lambda: mine.kv.get("app/a"))
    see("policy deleted", lambda: root.acl.policy.delete(policy["ID"]))
    see("and gone", lambda: root.acl.policy.read(policy["ID"]))
    return seen.steps


def test_py_consul_sees_the_same(servers: dict[str, str]) -> None:
    ours = py_consul_program(ADDRESSES["consulpy"])
    real = py_consul_program(ADDRESSES["consul"])
    assert len(real) > 50
    for own, its in zip(ours, real, strict=True):
        assert own == its


def test_a_node_program_sees_the_same(servers: dict[str, str], tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("acl_client.js"))

    def run(host: Host, program: str) -> list[Any]:
        root = consul.Consul(host=ADDRESSES[program], token=MASTER)
        policy = root.acl.policy.create("node", rules={"key": {"mine": WRITE}, "service": {"noded": WRITE}})
        token = root.acl.token.create(policies_id=[policy["ID"]])["SecretID"]
        output = host.output("node", script, str(npm_modules()), *servers[program].split(":"), token)
        return [json.loads(line) for line in output.splitlines()]

    with hosts(tmp_path, None) as (host,):
        ours, real = run(host, "consulpy"), run(host, "consul")
    assert ["write", True] in ours
    assert ["another key", 403, "Permission denied"] in ours
    assert ours == real


def test_a_python_consul_program_sees_the_same(servers: dict[str, str], tmp_path: Path) -> None:
    """`python-consul`, by the legacy endpoints: tokens are `[what, result]` or `[what, exception, its text]`."""
    script = str(Path(__file__).with_name("legacy_acl_client.py"))

    def run(host: Host, program: str) -> list[Any]:
        output = host.output(python_program("python"), script, ADDRESSES[program], MASTER)
        seen = Seen()
        return [seen.plain(json.loads(line)) for line in output.splitlines()]

    with hosts(tmp_path, None) as (host,):
        ours, real = run(host, "consulpy"), run(host, "consul")
    assert ["mine", "1"] in ours
    assert ["write", "ACLPermissionDenied", "Permission denied"] in ours
    assert len(ours) == 33
    assert ours == real
