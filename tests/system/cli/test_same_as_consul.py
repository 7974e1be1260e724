"""Our command line and the real one, pointed at the same real agents, print the same."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.cli import RealAgent, ours, theirs

pytestmark = pytest.mark.peers

ONE, TWO, NOBODY = "127.36.0.11", "127.36.0.12", "127.36.0.99"
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    directory = tmp_path_factory.mktemp("real")
    with (
        RealAgent(ONE, directory, "-encrypt", KEY) as one,
        RealAgent(TWO, directory, "-encrypt", KEY, server=False),
    ):
        assert ours(ONE, "join", TWO) == (0, "Successfully joined cluster by contacting 1 nodes.\n", "")
        yield one


@pytest.mark.parametrize(
    "words",
    [
        "join 127.36.0.12",
        "join 127.36.0.99",
        "members",
        "members -detailed",
        "members -wan",
        "members --wan=true -detailed",
        "members -status al",
        "members -status failed",
        "members -status (",
        "members -segment x",
        "force-leave nobody",
        "event -name x -tag t",
        "event -name x -service (",
        "rtt node-11 nobody",
        "rtt -wan node-11",
        "rtt -wan node-11.dc1",
        "keyring -list",
        "keyring -list-primary",
        "keyring -list -local-only",
        "keyring -use x -local-only",
        "keyring -list -install x",
        "keyring -list -relay-factor 9",
        "keyring -use x",
        "catalog nodes -service consul",
        "catalog nodes -service nobody",
        "catalog nodes -filter Colour==1",
        "catalog nodes -datacenter nowhere",
        "catalog services",
        "catalog services -tags",
        "catalog services -node node-11",
        "catalog services -node nobody",
        "catalog datacenters",
        "maint",
        "maint -enable -disable",
        "maint -reason x",
        "maint -enable -service nobody",
        "services register",
        "services deregister",
        "monitor -log-level=loud",
        "reload",
        "watch -type services",
        "watch -type event",
        "watch -type foo",
        "watch -type service",
        "validate",
        "validate /nope.json",
    ],
)
def test_the_same_output_errors_and_status(cluster: RealAgent, words: str) -> None:
    assert ours(cluster.address, *words.split()) == theirs(cluster.address, *words.split())


def test_info_has_the_same_keys(cluster: RealAgent) -> None:
    def keys(output: str) -> list[str]:
        return [line.partition(" = ")[0] for line in output.splitlines()]

    assert keys(ours(cluster.address, "info")[1]) == keys(theirs(cluster.address, "info")[1])


def test_maintenance_as_both_show_it(cluster: RealAgent) -> None:
    try:
        assert ours(cluster.address, "maint", "-enable", "-reason", "by test")[1] == "Node maintenance is now enabled\n"
        assert ours(cluster.address, "maint") == theirs(cluster.address, "maint")
    finally:
        assert ours(cluster.address, "maint", "-disable")[1] == "Node maintenance is now disabled\n"


def test_services_of_a_file(cluster: RealAgent, tmp_path: Path) -> None:
    """What our program registers from a file is what the real one does."""
    file = tmp_path / "web.hcl"
    file.write_text(
        'service {\n name = "web"\n port = 80\n tags = ["a"]\n meta { rack = "x" }\n enable_tag_override = true\n'
        ' tagged_addresses { lan { address = "10.0.0.1" port = 8 } }\n check { ttl = "1h" status = "passing" }\n}'
    )
    seen = []
    for program in (ours, theirs):
        assert program(cluster.address, "services", "register", str(file)) == (0, "Registered service: web\n", "")
        service = cluster.json("/v1/agent/services")["web"]
        seen.append((service, cluster.json("/v1/agent/checks")["service:web"]))
        assert program(cluster.address, "services", "deregister", str(file)) == (0, "Deregistered service: web\n", "")
    assert seen[0] == seen[1]


def test_an_event_is_fired(cluster: RealAgent) -> None:
    status, output, _ = ours(cluster.address, "event", "-name", "deploy", "-node", "node-1.", "now")
    assert status == 0
    fired = cluster.json("/v1/event/list?name=deploy")[0]
    assert output == f"Event ID: {fired['ID']}\n"
    assert base64.b64decode(fired["Payload"]) == b"now"
    assert fired["NodeFilter"] == "node-1."


def test_keygen_makes_a_key_that_the_real_one_takes(cluster: RealAgent) -> None:
    key = ours(cluster.address, "keygen")[1].strip()
    assert len(base64.b64decode(key, validate=True)) == 32
    assert ours(cluster.address, "keyring", "-install", key)[0] == 0
    assert ours(cluster.address, "keyring", "-use", key)[0] == 0
    assert key in theirs(cluster.address, "keyring", "-list")[1]
    assert ours(cluster.address, "keyring", "-use", KEY)[0] == 0
    assert ours(cluster.address, "keyring", "-remove", key)[0] == 0
    assert ours(cluster.address, "keyring", "-list") == theirs(cluster.address, "keyring", "-list")


def test_the_error_when_nobody_answers_begins_as_consuls(cluster: RealAgent) -> None:
    for words in ("members", "info", "reload", "leave", "rtt a b", "catalog nodes"):
        status, _, errors = ours(NOBODY, *words.split())
        real = theirs(NOBODY, *words.split())
        assert status == real[0] == 1
        assert errors.splitlines()[0].partition(": ")[2] == real[2].splitlines()[0].partition(": ")[2]
        assert "start one (consulpy agent -dev)" in errors.splitlines()[1]


def test_leave_and_the_end_of_the_monitor(tmp_path: Path) -> None:
    with RealAgent("127.36.0.13", tmp_path, server=False) as agent:
        assert ours(agent.address, "leave") == (0, "Graceful leave complete\n", "")
        assert agent.process.wait(60) == 0
