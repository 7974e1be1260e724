"""Record what real Consul's catalog and its indexes are after each of many changes, into history.json.

    python tests/unit/endpoints/record_history.py http://ADDRESS:8500

wants a fresh single server. Indexes are written as the number of the step that made them, 0 for everything before the
first. `test_history.py` replays the steps. Changes after which Consul leaves an old result under an old index are not
among them (see consulpy/state/registration.py).
"""

import json
import random
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

QUERIES = {
    "nodes": "/v1/catalog/nodes",
    "services": "/v1/catalog/services",
    "service x": "/v1/catalog/service/x",
    "service y": "/v1/catalog/service/y",
    "service unknown": "/v1/catalog/service/unknown",
    "tagged x": "/v1/catalog/service/x?tag=T1",
    "native x": "/v1/catalog/connect/x",
    "node a": "/v1/catalog/node/a",
    "node b": "/v1/catalog/node/b",
    "node-services a": "/v1/catalog/node-services/a",
    "node unknown": "/v1/catalog/node/unknown",
    "health x": "/v1/health/service/x",
    "health y": "/v1/health/service/y",
    "health unknown": "/v1/health/service/unknown",
    "node checks a": "/v1/health/node/a",
    "node checks unknown": "/v1/health/node/unknown",
    "service checks x": "/v1/health/checks/x",
    "any": "/v1/health/state/any",
    "critical": "/v1/health/state/critical",
    "ui nodes": "/v1/internal/ui/nodes",
    "ui node a": "/v1/internal/ui/node/a",
}
IDS = ["", "cf000000-0000-0000-0000-0000000000a1", "cf000000-0000-0000-0000-0000000000a2"]


def steps(rng: random.Random, count: int) -> Any:
    """Random registrations and deregistrations over a small world, many of them identical to earlier ones."""
    for _ in range(count):
        node = rng.choice("abc")
        if rng.random() < 0.3:
            body: dict[str, Any] = {"Node": node}
            what = rng.random()
            if what < 0.4:
                body["ServiceID"] = rng.choice(["x1", "x2", "y"])
            elif what < 0.8:
                body["CheckID"] = rng.choice(["n1", "n2", "cx1", "cy"])
            yield "deregister", body
            continue
        body = {"Node": node, "Address": f"10.0.0.{rng.randrange(2)}"}
        if rng.random() < 0.3:
            body["ID"] = rng.choice(IDS)
        if rng.random() < 0.2:
            body["NodeMeta"] = {"rack": rng.choice("ab")}
        if rng.random() < 0.15:
            body["SkipNodeUpdate"] = True
        if rng.random() < 0.5:
            identity, name = rng.choice([("x1", "x"), ("x2", "x"), ("y", "Y")])
            body["Service"] = {"ID": identity, "Service": name, "Port": rng.randrange(2)}
            if rng.random() < 0.4:
                body["Service"]["Tags"] = rng.sample(["t1", "t2"], 2)
            if rng.random() < 0.1:
                body["Service"]["Connect"] = {"Native": True}
        if rng.random() < 0.6:
            check, service = rng.choice([("n1", ""), ("n2", ""), ("cx1", "x1"), ("cy", "y"), ("CX1", "X1")])
            body["Check"] = {"CheckID": check, "Name": "c", "Status": rng.choice(["passing", "critical"])}
            body["Check"]["ServiceID"] = service
            if rng.random() < 0.2:
                body["Check"]["Output"] = "said"
        yield "register", body


def main(base: str) -> None:
    def put(path: str, body: Any) -> str:
        request = urllib.request.Request(base + path, data=json.dumps(body).encode(), method="PUT")
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def get(path: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(base + path) as answer:
                return int(answer.headers.get("X-Consul-Index") or 0), json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return int(error.headers.get("X-Consul-Index") or 0), None

    def log_index() -> int:
        return int(get("/v1/agent/self")[1]["Stats"]["raft"]["applied_index"])

    start = log_index()
    step_of: dict[int, int] = {}
    last = start

    def in_steps(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: step_of.get(each, 0) if key in ("CreateIndex", "ModifyIndex") else in_steps(each)
                for key, each in value.items()
            }
        return [in_steps(each) for each in value] if isinstance(value, list) else value

    history = []
    for number, (verb, body) in enumerate(steps(random.Random(7), 400), 1):
        answer = put(f"/v1/catalog/{verb}", body)
        now = log_index()
        step_of.update(dict.fromkeys(range(last + 1, now + 1), number))
        last = now
        entry: dict[str, Any] = {"do": verb, "body": body, "answer": answer, "indexes": {}}
        for name, path in QUERIES.items():
            index, result = get(path)
            entry["indexes"][name] = step_of.get(index, 0)
            if number % 20 == 0:
                entry.setdefault("results", {})[name] = in_steps(result)
        history.append(entry)
    lines = ",\n".join(json.dumps(entry) for entry in history)
    Path(__file__).with_name("history.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(sys.argv[1])
