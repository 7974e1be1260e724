"""`why` and `doctor` about keys, names, node ids, addresses and certificates that do not fit (CODES.md)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.lan import Machine, alive, cluster, lan
from tests.peers.programs import eventually

pytestmark = [pytest.mark.peers, pytest.mark.netns]

KEY, OTHER_KEY = "pUqJrVyVRj5jsiYEkM/tFQ==", "cg8StVXbQJ0gPvMd9o7yrg=="
PROGRAMS = ("consul", "consulpy")
VERIFY = {"verify_incoming": True, "verify_outgoing": True}
Machines = dict[str, Machine]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with lan(tmp_path, "a", "v", "x") as made:
        yield made


def statuses(machine: Machine) -> dict[str, str]:
    """What is not fine, with its status."""
    return {each["cause"]: each["status"] for each in machine.doctor() if each["status"] != "pass"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_member_that_came_back_with_another_key(machines: Machines, program: str) -> None:
    a, victim = machines["a"], machines["v"]
    cluster({"a": a, "v": victim}, {"a": "consulpy", "v": program}, encrypt=KEY)
    victim.stop_agent()
    victim.start_agent(program, "v", encrypt=OTHER_KEY, retry_join=[a.address], retry_interval="1s")
    eventually(lambda: "v" not in alive(a), "it has failed")
    eventually(lambda: a.why("v")["cause"] == "key-mismatch", "why names the keys")
    assert statuses(a).get("key-mismatch") == "fail"
    assert {cause for cause, status in statuses(a).items() if status == "fail"} == {"key-mismatch"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_joiner_without_our_key_is_named_by_doctor(machines: Machines, program: str) -> None:
    a, joiner = machines["a"], machines["x"]
    cluster({"a": a}, {"a": "consulpy"}, encrypt=KEY)
    joiner.start_agent(program, "x", retry_join=[a.address], retry_interval="1s")
    eventually(lambda: "encryption-mismatch" in statuses(a), "doctor names it")
    assert alive(a) == {"a"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_name_that_two_agents_use(machines: Machines, program: str) -> None:
    a, second = machines["a"], machines["x"]
    cluster({"a": a, "v": machines["v"]}, {"a": "consulpy", "v": "consul"})
    # real agents protect a name from the start; ours from 10 seconds after its member joined
    second.start_agent(program, "v", retry_join=[a.address], retry_interval="1s")
    verdict = eventually(lambda: (found := a.why("v"))["cause"] == "name-conflict" and found, "why names both")
    assert machines["v"].address in verdict["text"]
    assert second.address in verdict["text"]
    assert "name-conflict" in statuses(a)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_cloned_node_id(machines: Machines, program: str) -> None:
    a, clone = machines["a"], machines["x"]
    cluster({"a": a, "v": machines["v"]}, {"a": "consulpy", "v": "consul"})
    node_id = machines["v"].api("/v1/agent/self")["Config"]["NodeID"]
    eventually(lambda: machines["v"].members().get("a") == 1, "they know each other")
    clone.start_agent(program, "x", node_id=node_id, retry_join=[a.address], retry_interval="1s")
    eventually(lambda: "node-id-conflict" in statuses(a), "doctor names it")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_member_that_advertises_what_leads_nowhere(machines: Machines, program: str) -> None:
    a, wrong = machines["a"], machines["x"]
    cluster({"a": a, "v": machines["v"]}, {"a": "consulpy", "v": "consul"})
    wrong.start_agent(program, "x", advertise_addr="10.79.0.99", retry_join=[a.address], retry_interval="1s")
    eventually(lambda: "x" in a.members(), "it is a member")
    verdict = eventually(lambda: (found := a.why("x"))["cause"] == "wrong-advertise" and found, "why names it")
    assert "10.79.0.99" in verdict["text"]


# -- certificates


def certificates(machine: Machine, directory: Path, *flags: str) -> None:
    """An authority, and certificates of a server and a client, valid for the server's name and address."""
    directory.mkdir(parents=True, exist_ok=True)
    for words in (
        ("ca", "create"),
        ("cert", "create", "-server", "-additional-ipaddress", machine.address),
        ("cert", "create", "-client", *flags),
    ):
        machine.run("sh", "-c", 'cd "$1" && shift && consulpy tls "$@"', "sh", str(directory), *words)


def tls(directory: Path, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "ca_file": str(directory / "consul-agent-ca.pem"),
        "cert_file": str(directory / f"dc1-{kind}-consul-0.pem"),
        "key_file": str(directory / f"dc1-{kind}-consul-0-key.pem"),
        **VERIFY,
        **more,
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_certificates_that_do_not_fit(machines: Machines, program: str, tmp_path: Path) -> None:
    """A server that verifies all; clients without TLS, of another authority, and one that is fine but soon is not."""
    server, client = machines["a"], machines["x"]
    certificates(server, tmp_path / "ours", "-days", "3")
    certificates(server, tmp_path / "theirs")
    server.start_agent(program, "a", server=True, bootstrap_expect=1, **tls(tmp_path / "ours", "server"))
    eventually(lambda: server.api("/v1/status/leader"), "the server leads")
    for config, expected in (
        ({}, {"tls-mismatch": "fail"}),
        (tls(tmp_path / "theirs", "client"), {"tls-untrusted": "fail"}),
        (
            tls(tmp_path / "theirs", "client", ca_file=str(tmp_path / "ours" / "consul-agent-ca.pem")),
            {"tls-untrusted": "fail"},
        ),
        (
            {"ca_file": str(tmp_path / "ours" / "consul-agent-ca.pem"), "verify_outgoing": True},
            {"tls-mismatch": "fail"},
        ),
        (tls(tmp_path / "ours", "client"), {"tls-expired": "warn"}),
    ):
        client.start_agent("consulpy", "x", retry_join=[server.address], retry_interval="1s", **config)
        eventually(lambda: alive(client) == {"a", "x"}, "it is a member")
        found = eventually(
            lambda expected=expected: set(expected) <= set(statuses(client)) and statuses(client), str(expected)
        )
        assert {cause for cause, status in found.items() if status == "fail"} == {
            cause for cause, status in expected.items() if status == "fail"
        }
        assert found.items() >= expected.items()
        client.stop_agent()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_server_without_tls_for_a_client_that_wants_it(machines: Machines, program: str, tmp_path: Path) -> None:
    server, client = machines["a"], machines["x"]
    certificates(server, tmp_path / "ours")
    server.start_agent(program, "a", server=True, bootstrap_expect=1)
    eventually(lambda: server.api("/v1/status/leader"), "the server leads")
    own = tls(tmp_path / "ours", "client")
    client.start_agent("consulpy", "x", retry_join=[server.address], retry_interval="1s", **own)
    eventually(lambda: alive(client) == {"a", "x"}, "it is a member")
    eventually(lambda: statuses(client).get("tls-mismatch") == "fail", "doctor names it")
