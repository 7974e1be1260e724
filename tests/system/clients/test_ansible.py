"""Ansible's modules for access control (collection community.general): one playbook, at a real server and at ours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.peers.programs import Host, ask, hosts
from tests.system.clients.acl_servers import ADDRESSES, MASTER, servers_with_acls
from tests.system.clients.conftest import TOOLS, python_program

pytestmark = [pytest.mark.peers]

PLAYBOOK = Path(__file__).with_name("acl_playbook.yml")
#: What the modules always change: they compare a policy's name with its name and id, and a description with the one
#: that they have put the rule's name before.
NEVER_EQUAL = {"role with policy", "binding rule with description"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with servers_with_acls(tmp_path_factory.mktemp("acl")) as running:
        yield running


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


def play(host: Host, **variables: str) -> dict[str, dict[str, Any]]:
    """Run the playbook at both servers; the tasks' results, by program."""
    output = host.directory / "results"
    output.mkdir(exist_ok=True)
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(TOOLS / "python" / "collections"),
        "ANSIBLE_HOME": str(host.directory / "ansible"),
        "ANSIBLE_PIPELINING": "true",
        "LC_ALL": "C.UTF-8",
    }
    words = [f"{name}={value}" for name, value in settings.items()]
    given = {"addresses": ADDRESSES, "token": MASTER, "output": str(output), **variables}
    given["ansible_python_interpreter"] = python_program("python")
    inventory = ",".join(ADDRESSES) + ","
    command = [
        python_program("ansible-playbook"),
        "-i",
        inventory,
        "-c",
        "local",
        "-e",
        json.dumps(given),
        str(PLAYBOOK),
    ]
    host.run("env", *words, *command, within_s=280)
    return {program: json.loads((output / f"{program}.json").read_text()) for program in ADDRESSES}


def changed(results: dict[str, Any]) -> dict[str, str]:
    """What was done by each task that changed something; none has failed."""
    assert {name: each.get("msg") for name, each in results.items() if each.get("failed")} == {}
    return {name: each["operation"] for name, each in results.items() if each["changed"]}


@pytest.mark.timeout(900)  # a playbook is a program for each of its tasks
def test_a_playbook_changes_what_is_different_and_nothing_the_second_time(servers: dict[str, str], host: Host) -> None:
    """The real server is the proof that the expected counts are Consul's."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    made = play(host, public_key=pem, state="present")
    assert len(made["consulpy"]) == 7
    for results in made.values():
        assert changed(results) == dict.fromkeys(results, "create")
    for address in servers.values():
        assert ask(f"{address}/v1/kv/app/a?token=cf000000-0000-0000-0000-0000000000dd", "PUT", b"1") is True

    for results in play(host, public_key=pem, state="present").values():
        assert changed(results) == dict.fromkeys(NEVER_EQUAL, "update")

    for results in play(host, public_key=pem, state="absent").values():
        # With its auth method go the binding rules, before their own tasks.
        gone = results.keys() - {"binding rule", "binding rule with description"}
        assert changed(results) == dict.fromkeys(gone, "remove")
    for address in servers.values():
        assert ask(f"{address}/v1/acl/roles?token={MASTER}") == []
