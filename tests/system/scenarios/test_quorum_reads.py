"""What every server of a quorum answers by itself: stale reads, blocking queries, DNS; and the indexes of answers."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, hosts
from tests.peers.quorum import Quorum, begun

pytestmark = [pytest.mark.peers]

READS = (
    "kv/key",
    "kv/?keys",
    "catalog/nodes",
    "catalog/services",
    "catalog/service/web",
    "health/service/web",
    "health/node/outside",
    "session/list",
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


def read(quorum: Quorum, number: int, path: str) -> tuple[Any, dict[str, str]]:
    """The answer, and its headers in small letters."""
    with urllib.request.urlopen(f"http://{quorum.url(number, path)}", timeout=30) as answer:
        return json.load(answer), {name.lower(): value for name, value in answer.headers.items()}


def with_query(path: str, query: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}{query}"


@pytest.mark.parametrize("mix", ["own", "one real", "two real"])
def test_the_same_read_has_the_same_index_on_every_server(host: Host, mix: str) -> None:
    quorum = begun(host, mix)
    outside = {"Node": "outside", "Address": "10.0.0.9", "Service": {"Service": "web", "Port": 80}}
    assert ask(quorum.url(2, "catalog/register"), "PUT", json.dumps(outside).encode()) is True
    assert quorum.put(1, "key", "x")
    assert ask(quorum.url(3, "session/create"), "PUT", b"{}")["ID"]

    def answers(path: str, query: str) -> list[tuple[Any, str]]:
        found = [read(quorum, number, with_query(path, query)) for number in quorum.kinds]
        return [(body, headers["x-consul-index"]) for body, headers in found]

    for path in READS:
        for query in ("stale", "consistent", "wait=1s"):

            def equal(path: str = path, query: str = query) -> bool:
                one, two, three = answers(path, query)
                return one == two == three and int(one[1]) > 1

            eventually(equal, f"{path}?{query} is the same on all servers")
    for number in quorum.kinds:
        _, headers = read(quorum, number, "kv/key?stale")
        assert headers["x-consul-knownleader"] == "true"
        assert int(headers["x-consul-lastcontact"]) < 5000
        _, headers = read(quorum, number, "kv/key")
        assert headers["x-consul-lastcontact"] == "0", "the leader answered"


@pytest.mark.parametrize("mix", ["own", "one real"])
def test_blocking_queries_wake_on_every_server_and_never_go_back(host: Host, mix: str) -> None:
    quorum = begun(host, mix)
    assert quorum.put(1, "key", "0")
    seen: dict[tuple[int, str], list[tuple[int, str]]] = {}
    failed: list[str] = []
    ended = threading.Event()

    def watch(number: int, how: str) -> None:
        history = seen[number, how] = []
        index = "0"
        while not ended.is_set():
            try:
                body, headers = read(quorum, number, f"kv/key?index={index}&wait=2s{how}")
            except (OSError, ValueError) as error:
                failed.append(f"{number}{how}: {error}")
                return
            index = headers["x-consul-index"]
            history.append((int(index), body[0]["Value"]))

    threads = [
        threading.Thread(target=watch, args=(number, how), daemon=True)
        for number in quorum.kinds
        for how in ("", "&stale")
    ]
    eventually(lambda: all(quorum.value(number, "key") == "0" for number in quorum.kinds), "replicated")
    for thread in threads:
        thread.start()
    for count in range(1, 21):
        assert quorum.put(1 + count % 3, "key", str(count))
        time.sleep(0.05)
    last = read(quorum, 1, "kv/key")[0][0]["Value"]
    eventually(lambda: failed or all(history[-1][1] == last for history in seen.values()), "the last change is seen")
    ended.set()
    for thread in threads:
        thread.join(60)
    assert not failed
    for (number, how), history in seen.items():
        indexes = [index for index, _ in history]
        assert indexes == sorted(indexes), f"server {number}{how}: an index went back"
        assert len(history) > 2, f"server {number}{how}: woken {len(history)} times"


def test_dns_answers_on_every_server_also_without_a_leader(host: Host) -> None:
    quorum = begun(host, "own")
    outside = {"Node": "outside", "Address": "10.0.0.9", "Service": {"Service": "web", "Port": 80}}
    assert ask(quorum.url(2, "catalog/register"), "PUT", json.dumps(outside).encode()) is True

    def resolved(number: int) -> bool:
        where = f"@{quorum.address(number)}"
        return host.output("dig", "-p", "8600", where, "web.service.consul", "+short") == "10.0.0.9\n"

    for number in quorum.kinds:
        eventually(lambda number=number: resolved(number), f"DNS of server {number}")
    for number in (1, 2):
        quorum.running.pop(number).kill()
    eventually(lambda: ask(quorum.url(3, "status/leader")) == "", "no leader is left")
    assert resolved(3)
    assert quorum.url(3, "")
    body, headers = read(quorum, 3, "catalog/service/web?stale")
    assert body[0]["Address"] == "10.0.0.9"
    assert headers["x-consul-knownleader"] == "false"
    assert int(headers["x-consul-lastcontact"]) > 0
