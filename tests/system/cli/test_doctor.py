"""`consulpy doctor` and `why` where no agent answers: findings of the host, within 5 seconds."""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from tests.peers.cli import ROOT, environment


def findings_of(address: str, *more: str) -> tuple[int, list[dict[str, Any]], float]:
    """Exit status, findings, and seconds of a run."""
    began_s = time.monotonic()
    words = [sys.executable, "-m", "consulpy", "doctor", f"-http-addr={address}", "-format=json", *more]
    ran = subprocess.run(
        words, cwd=ROOT, env=environment("127.0.0.1"), capture_output=True, text=True, timeout=90, check=False
    )
    findings = json.loads(ran.stdout)["findings"]
    assert all((each["status"] == "pass") == (each["cause"] == "healthy") for each in findings)
    assert all(bool(each["fix"]) == (each["status"] != "pass") for each in findings)
    return ran.returncode, findings, time.monotonic() - began_s


def doctor(address: str, *more: str) -> tuple[int, dict[str, dict[str, Any]], float]:
    """Exit status, findings by cause, and seconds of a run."""
    status, findings, took_s = findings_of(address, *more)
    return status, {each["cause"]: each for each in findings}, took_s


def why(address: str, name: str) -> "subprocess.CompletedProcess[str]":
    """`consulpy why NAME`."""
    words = [sys.executable, "-m", "consulpy", "why", f"-http-addr={address}", name]
    return subprocess.run(
        words, cwd=ROOT, env=environment("127.0.0.1"), capture_output=True, text=True, timeout=90, check=False
    )


def test_nobody_listens_and_a_port_is_taken() -> None:
    """Other ports may be taken too, by agents of other tests."""
    with socket.create_server(("127.0.0.1", 8600)):
        status, findings, _ = findings_of("127.0.0.1:8510")
    assert status == 1
    assert ("fail", "agent-down") in [(each["status"], each["cause"]) for each in findings]
    (taken,) = [each for each in findings if "8600 (TCP)" in each["text"]]
    assert (taken["status"], taken["cause"]) == ("warn", "port-taken")
    assert "process" in taken["text"]


def serving(answer: bytes) -> tuple[socket.socket, threading.Thread]:
    """A program that answers every connection so."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(4096)
                peer.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener, thread


@pytest.mark.parametrize("answer", [b"HTTP/1.0 404 Not Found\r\n\r\n<html>nothing here</html>", b"SSH-2.0-x\r\n", b""])
def test_what_listens_and_is_no_agent_is_no_agent(answer: bytes) -> None:
    listener, _ = serving(answer)
    with listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        status, causes, _ = doctor(where)
        words = [sys.executable, "-m", "consulpy", "why", f"-http-addr={where}", "a"]
        ran = subprocess.run(
            words, cwd=ROOT, env=environment("127.0.0.1"), capture_output=True, text=True, timeout=90, check=False
        )
        listener.shutdown(socket.SHUT_RDWR)
    assert status == 1
    assert causes["agent-down"]["status"] == "fail"
    assert {each["status"] for cause, each in causes.items() if cause not in ("agent-down", "healthy")} <= {"warn"}
    assert ran.returncode == 1
    assert "knows nothing of a member" not in ran.stderr


def test_a_target_is_looked_at_while_the_agent_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        status, causes, _ = doctor(f"127.0.0.1:{stuck.getsockname()[1]}", "-target", "no..such..host")
    assert (status, set(causes)) == (1, {"agent-frozen", "name-unresolved"})


def test_an_agent_that_does_not_answer_is_frozen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stuck:
        status, causes, took_s = doctor(f"127.0.0.1:{stuck.getsockname()[1]}")
    assert (status, set(causes)) == (1, {"agent-frozen"})
    assert took_s < 20  # 5, and the start of an interpreter on a busy machine; a stuck one never ends


def test_an_answer_that_never_ends_is_given_up() -> None:
    """A byte now and then keeps each single read within its time."""

    def drip(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_drip, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        status, causes, took_s = doctor(where)
        assert (status, set(causes)) == (1, {"agent-frozen"})
        assert took_s < 20
        ran = why(where, "a")
        assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
        listener.shutdown(socket.SHUT_RDWR)


def _drip(peer: socket.socket) -> None:
    with peer, suppress(OSError):
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n[")
        for _ in range(100):
            peer.sendall(b" ")
            time.sleep(0.4)


def test_a_port_that_does_not_open_is_held_by_a_stuck_program() -> None:
    """Its queue of connections is full; a connection to another host that does not open says nothing of an agent."""
    with socket.socket() as stuck, ExitStack() as waiting:
        stuck.bind(("127.0.0.1", 0))
        stuck.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(stuck.getsockname())
        status, causes, _ = doctor(f"127.0.0.1:{stuck.getsockname()[1]}")
    assert (status, set(causes)) == (1, {"agent-frozen"})
    assert "no connection opened" in causes["agent-frozen"]["text"]


@pytest.mark.netns
def test_a_host_that_is_not_there_has_no_frozen_agent() -> None:
    script = "ip link set lo up; ip link add d type dummy; ip addr add 10.99.0.1/24 dev d; ip link set d up; "
    words = f"{sys.executable} -m consulpy doctor -http-addr=10.99.0.2:8500 -format=json"
    ran = subprocess.run(
        ["unshare", "-n", "sh", "-c", script + words], cwd=ROOT, env=environment("127.0.0.1"), capture_output=True,
        text=True, timeout=90, check=False,
    )  # fmt: skip
    found = {each["cause"] for each in json.loads(ran.stdout)["findings"] if each["status"] == "fail"}
    assert (ran.returncode, found) == (1, {"agent-down"})


def test_a_name_with_a_path_in_it_is_no_member_and_no_address() -> None:
    """The API sends such a path elsewhere."""
    listener, _ = serving(b"HTTP/1.0 301 Moved Permanently\r\nLocation: /v1/agent/\r\n\r\n")
    with listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        ran = why(where, "../..")
        status, causes, _ = doctor(where, "-target", "../..")
        listener.shutdown(socket.SHUT_RDWR)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "This agent knows nothing of a member '../..': see consulpy members\n"
    assert (status, set(causes)) == (1, {"name-unresolved"})


def test_a_target_is_looked_at_without_an_agent() -> None:
    with socket.create_server(("127.0.0.1", 8301)) as listener:
        listener.close()
        status, causes, took_s = doctor("127.0.0.1:8510", "-target", "127.0.0.1")
    assert status == 1
    assert "nothing-listens" in causes
    assert took_s < 20


def test_a_target_without_an_address_is_named() -> None:
    status, causes, _ = doctor("127.0.0.1:8510", "-target", "no..such..host")
    assert (status, "name-unresolved" in causes) == (1, True)


def test_why_of_an_agent_that_does_not_answer_is_one_error() -> None:
    words = [sys.executable, "-m", "consulpy", "why", "-http-addr=127.0.0.1:8510", "-format=json", "a"]
    ran = subprocess.run(
        words, cwd=ROOT, env=environment("127.0.0.1"), capture_output=True, text=True, timeout=90, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "connection refused" in ran.stderr
