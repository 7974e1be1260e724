"""What a program does through `python-consul`, which knows the ACLs of before Consul 1.4; one JSON line for each step.

legacy_acl_client.py HOST MASTER, with the Python of tests/peers/tools.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import consul

HOST, MASTER = sys.argv[1:]


def step(what: str, call: Callable[[], Any]) -> Any:
    """Call, and say the result or the error; the result."""
    try:
        found = call()
    except consul.ConsulException as error:
        print(json.dumps([what, type(error).__name__, str(error)]))
        return None
    print(json.dumps([what, found]))
    return found


def value(client: consul.Consul, key: str) -> Any:
    found = client.kv.get(key)[1]
    return found and found["Value"].decode()


def main() -> None:
    root, nobody = consul.Consul(host=HOST, token=MASTER), consul.Consul(host=HOST)
    unknown = consul.Consul(host=HOST, token="cf000000-0000-0000-0000-00000000dead")
    rules = '{"key": {"app/": {"policy": "read"}}, "service": {"web": {"policy": "write"}}}'
    step("nobody creates", lambda: nobody.acl.create("mine", rules=rules))
    step("unknown creates", lambda: unknown.acl.create("mine", rules=rules))
    token = step("create", lambda: root.acl.create("mine", rules=rules))
    chosen = "cf000000-0000-0000-0000-0000000000ee"
    step("create with an id", lambda: root.acl.create("chosen", type="management", acl_id=chosen))
    step("bad rules", lambda: root.acl.create("bad", rules='{"key": {"a": {"policy": "maybe"}}}'))
    step("info", lambda: root.acl.info(token))
    step("info of none", lambda: root.acl.info("cf000000-0000-0000-0000-00000000dead"))
    step("nobody's list", nobody.acl.list)
    step("list", lambda: sorted(row["Name"] for row in root.acl.list()))
    mine, manager = consul.Consul(host=HOST, token=token), consul.Consul(host=HOST, token=chosen)
    step("root writes", lambda: root.kv.put("app/a", "1"))
    step("mine", lambda: value(mine, "app/a"))
    step("mine by an argument", lambda: nobody.kv.get("app/a", token=token)[1]["Value"].decode())
    step("not mine", lambda: value(mine, "other"))
    step("nobody's", lambda: value(nobody, "app/a"))
    step("unknown's", lambda: value(unknown, "app/a"))
    step("write", lambda: mine.kv.put("app/a", "2"))
    step("register", lambda: mine.agent.service.register("web", port=80))
    step("register another", lambda: mine.agent.service.register("db", port=81))
    step("nodes", lambda: mine.catalog.nodes()[1])
    step("session", mine.session.create)
    step("event", lambda: mine.event.fire("deploy"))
    step("a manager's", lambda: value(manager, "app/a"))
    wider = '{"key": {"app/": {"policy": "write"}}}'
    step("update", lambda: root.acl.update(token, name="wider", rules=wider) == token)
    step("write now", lambda: mine.kv.put("app/a", "2"))
    step("register no more", lambda: mine.agent.service.register("web2", port=80))
    clone = step("clone", lambda: root.acl.clone(token))
    step("the clone's", lambda: value(consul.Consul(host=HOST, token=clone), "app/a"))
    step("nobody destroys", lambda: nobody.acl.destroy(token))
    step("destroy", lambda: root.acl.destroy(token))
    step("destroy again", lambda: root.acl.destroy(token))
    step("is nobody now", lambda: value(mine, "app/a"))
    step("the clone stays", lambda: value(consul.Consul(host=HOST, token=clone), "app/a"))
    step("deregister", lambda: root.agent.service.deregister("web"))


main()
