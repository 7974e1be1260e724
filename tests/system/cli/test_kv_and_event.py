"""`consulpy kv` and `event` beside the official ones, at a real server: the same words give the same answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.cli import RealAgent, ours, theirs

pytestmark = pytest.mark.peers

ADDRESS = "127.83.1.1"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    with RealAgent(ADDRESS, tmp_path_factory.mktemp("kv")) as running:
        for key, value in (("app/a", "1"), ("app/b/c", "two"), ("app/empty", "")):
            assert theirs(ADDRESS, "kv", "put", "-flags=7", key, value)[0] == 0
        yield running


def error(answer: tuple[int, str, str]) -> tuple[int, str, str]:
    """Without the usage page, or the pointer to it, that follows a mistake."""
    status, out, err = answer
    for follows in ("\nUsage", "\n\nFor help"):
        err = err.split(follows)[0]
    return status, out, err.strip()


@pytest.mark.parametrize(
    "line",
    [
        "kv get app/a",
        "kv get -base64 app/b/c",
        "kv get -detailed app/a",
        "kv get -detailed -recurse app/",
        "kv get -recurse app/",
        "kv get -keys app/",
        "kv get -keys -separator= app/",
        "kv get app/empty",
        "kv get none",
        "kv get",
        "kv get a b",
        "kv export app/",
        "kv export none",
        "kv put -cas -modify-index=1 app/a no",
        "kv delete -cas -modify-index=1 app/a",
        "kv put -cas app/a no",
        "kv put -cas -modify-index=0 app/new no",
        "kv put -acquire app/a",
        "kv put a b c",
        "kv put -modify-index=x app/a no",
        "kv delete -recurse -cas app/a",
        "kv put",
        "kv delete",
        "kv import",
        "kv import @/nowhere",
        "event",
        "event -name=x -tag=y",
        "event -name=x -node=( y",
    ],
)
def test_the_same_words_give_the_same_answer(agent: RealAgent, line: str) -> None:
    words = line.split(" ")
    assert error(ours(ADDRESS, *words)) == error(theirs(ADDRESS, *words))


def test_a_key_goes_round(agent: RealAgent, tmp_path: Path) -> None:
    assert ours(ADDRESS, "kv", "put", "round/a", "x")[1] == "Success! Data written to: round/a\n"
    status, exported, _ = ours(ADDRESS, "kv", "export", "round/")
    assert status == 0
    assert ours(ADDRESS, "kv", "delete", "-recurse", "round/")[1] == "Success! Deleted keys with prefix: round/\n"
    file = tmp_path / "keys.json"
    file.write_text(exported)
    assert ours(ADDRESS, "kv", "import", f"@{file}")[1] == "Imported: round/a\n"
    assert theirs(ADDRESS, "kv", "get", "round/a")[1] == "x\n"


def test_json(agent: RealAgent) -> None:
    (entry,) = [json.loads(ours(ADDRESS, "kv", "get", "-format=json", "app/a")[1])]
    assert (entry["Key"], entry["Value"], entry["Flags"]) == ("app/a", "MQ==", 7)
    entries = json.loads(ours(ADDRESS, "kv", "get", "-recurse", "-format=json", "app/")[1])
    assert [each["Key"] for each in entries] == ["app/a", "app/b/c", "app/empty"]
    assert json.loads(ours(ADDRESS, "kv", "get", "-keys", "-format=json", "app/")[1]) == [
        "app/a",
        "app/b/",
        "app/empty",
    ]
    fired = json.loads(ours(ADDRESS, "event", "-name=j", "-format=json")[1])["ID"]
    assert any(each["ID"] == fired for each in agent.json("/v1/event/list"))
