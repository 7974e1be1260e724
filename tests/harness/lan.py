"""Hosts of their own on one network: namespaces on a bridge, with packet filters, and agents of both kinds on them."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, Program, eventually

_names = itertools.count()
#: Quicker than a LAN's defaults, as the tests wait for failures.
GOSSIP = {"probe_interval": "500ms", "probe_timeout": "300ms", "suspicion_mult": 2}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Machine(Host):
    """A host with an address and a packet filter, and at most one agent."""

    def __init__(self, directory: Path, namespace: str, address: str) -> None:
        super().__init__(directory, namespace)
        self.namespace = namespace
        self.address = address
        self.agent: Program | None = None
        self.node = ""

    def filter(self, *rules: str) -> None:
        """Drop what fits nftables rules; each begins with the hook (`input` or `output`). None: everything passes."""
        self.run("nft", "flush", "ruleset")
        if not rules:
            return
        chains = {
            hook: [rule.partition(" ")[2] for rule in rules if rule.startswith(hook)] for hook in ("input", "output")
        }
        text = "table inet faults {\n"
        for hook, lines in chains.items():
            body = "\n".join(lines)
            text += f"chain {hook} {{ type filter hook {hook} priority 0;\n{body}\n}}\n"
        path = self.directory / "faults.nft"
        path.write_text(text + "}\n")
        self.run("nft", "-f", str(path))

    def stop_agent(self) -> None:
        """Kill its agent and forget its data."""
        if self.agent is not None:
            self.agent.kill()
            self.agent = None
        shutil.rmtree(self.directory / "data", ignore_errors=True)

    def start_agent(self, program: str, node: str, *flags: str, **config: Any) -> Program:
        """Start `consulpy` or `consul` as an agent with these settings in Consul's keys."""
        settings: dict[str, Any] = {
            "bind_addr": self.address,
            "client_addr": "127.0.0.1",
            "data_dir": str(self.directory / "data"),
            "gossip_lan": GOSSIP,
            "leave_on_terminate": False,
            **config,
        }
        path = self.directory / "agent.json"
        path.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
        log = f"{program}-{next(_names)}"
        self.agent, self.node = (
            self.start(log, program, "agent", "-node", node, "-config-file", str(path), *flags),
            node,
        )
        return self.agent

    def api(self, path: str, method: str = "GET") -> Any:
        """Ask the agent's HTTP API; its JSON. Raises ValueError."""
        done = self.run("curl", "-s", "-m", "6", "-X", method, f"http://127.0.0.1:8500{path}", check=False)
        return json.loads(done.stdout)

    def members(self) -> dict[str, int]:
        """Status numbers by name."""
        return {member["Name"]: member["Status"] for member in self.api("/v1/agent/members")}

    def why(self, node: str) -> dict[str, Any]:
        """The verdict of `consulpy why NODE` at this host."""
        done = self.run("consulpy", "why", "-format=json", node)
        verdict: dict[str, Any] = json.loads(done.stdout)["verdict"]
        return verdict

    def doctor(self, *flags: str) -> list[dict[str, Any]]:
        """The findings of `consulpy doctor` at this host; its rules about status, cause, fix and exit status hold."""
        done = self.run("consulpy", "doctor", "-format=json", *flags, check=False)
        assert done.stdout, done.stderr
        findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
        assert findings
        for each in findings:
            assert (each["status"] == "pass") == (each["cause"] == "healthy"), each
            assert bool(each["fix"]) == (each["status"] != "pass"), each
        assert done.returncode == int(any(each["status"] == "fail" for each in findings)), findings
        return findings

    def fails(self, *flags: str) -> set[str]:
        """The causes that `doctor` calls `fail`."""
        return {each["cause"] for each in self.doctor(*flags) if each["status"] == "fail"}

    def signal(self, number: int) -> None:
        assert self.agent is not None
        self.agent.process.send_signal(number)

    @contextmanager
    def stuttering(self, stopped_s: float, running_s: float) -> Iterator[None]:
        """Its process is stopped again and again, as on a host without CPU."""
        over = threading.Event()

        def stutter() -> None:
            while not over.is_set():
                self.signal(signal.SIGSTOP)
                time.sleep(stopped_s)
                self.signal(signal.SIGCONT)
                over.wait(running_s)

        thread = threading.Thread(target=stutter)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.signal(signal.SIGCONT)


@contextmanager
def lan(directory: Path, *names: str) -> Iterator[dict[str, Machine]]:
    """Machines of these names at 10.79.0.1 ..., on one network; everything is gone at the end."""
    if shutil.which("nft") is None:
        pytest.skip("packet filters need nftables: run tests/peers/tools")
    prefix = f"d{os.getpid()}-{next(_names)}"
    bridge = f"lan{next(_names)}"
    ip("link", "add", bridge, "type", "bridge")
    ip("link", "set", bridge, "up")
    machines: dict[str, Machine] = {}
    try:
        for number, name in enumerate(names, 1):
            namespace, link = f"{prefix}-{name}", f"l{next(_names)}-{name}"
            ip("netns", "add", namespace)
            machines[name] = Machine(directory / name, namespace, f"10.79.0.{number}")
            ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            ip("link", "set", link, "master", bridge, "up")
            ip("-n", namespace, "link", "set", "lo", "up")
            ip("-n", namespace, "addr", "add", f"10.79.0.{number}/24", "dev", "eth0")
            ip("-n", namespace, "link", "set", "eth0", "up")
        yield machines
    finally:
        for machine in machines.values():
            machine.close()
            subprocess.run(["ip", "netns", "del", machine.namespace], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)


def cluster(machines: dict[str, Machine], programs: dict[str, str], **config: Any) -> None:
    """Start agents: the first machine's is a server that leads alone, all others are clients of it."""
    first = next(iter(machines))
    join = [machines[first].address]
    for name, program in programs.items():
        own: dict[str, Any] = {"server": True, "bootstrap_expect": 1} if name == first else {"retry_join": join}
        machines[name].start_agent(program, name, **own, retry_interval="1s", **config)
    eventually(lambda: alive(machines[first]) == set(programs), "all are members")


def alive(machine: Machine) -> set[str]:
    """The names of living members."""
    return {name for name, status in machine.members().items() if status == 1}
