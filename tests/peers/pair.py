"""A real agent and ours with the same name, id and flags, whose answers can be compared byte for byte."""

import http.client
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.process import spawn
from tests.peers.programs import PATIENCE_S, environment

NODE_ID = "11111111-2222-3333-4444-555555555501"
#: What differs between any two agents, even of one version.
_INDEX = re.compile(rb'("(?:Create|Modify)Index": ?)[0-9]+')
#: Headers that are compared; the others depend on the time or name the program.
HEADERS = ("content-type", "x-consul-knownleader", "vary", "location", "allow", "x-consul-effective-consistency")


@dataclass
class Answer:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def comparable(self, address: str) -> tuple[int, dict[str, str], bytes]:
        """Without what differs between any two agents; `address`: its own."""
        body = _INDEX.sub(rb"\1_", self.body.replace(address.encode(), b"ADDRESS"))
        return self.status, {name: self.headers[name] for name in HEADERS if name in self.headers}, body


class Agent:
    """A running agent at an address of its own."""

    def __init__(self, program: list[str], address: str, directory: Path, *flags: str) -> None:
        self.address = address
        #: Sent with each request that has none of its own.
        self.token = ""
        self.log = directory / f"{address}.log"
        with self.log.open("wb") as log:
            self.process = spawn(
                [*program, "agent", "-node", "n1", "-node-id", NODE_ID, "-bind", address, "-client", address,
                 "-data-dir", str(directory / address), *flags],
                stdout=log, stderr=subprocess.STDOUT, env=environment(), cwd=directory,
            )  # fmt: skip

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Send a request; header names with `_` for `-`. Redirects are not followed, bodies not unpacked."""
        if self.token:
            headers.setdefault("X_Consul_Token", self.token)
        connection = http.client.HTTPConnection(self.address, 8500, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def wait_until_it_leads(self) -> None:
        """Until the server has registered itself, after which it changes nothing by itself.

        On a busy machine a real leader overwrites what its own agent has just registered, which comes again with the
        next sync, within two minutes.
        """
        deadline = time.monotonic() + 2 * PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = self.ask("/v1/catalog/node/n1")
                if answer.status == 200 and b'"lan"' in answer.body and b'"consul"' in answer.body:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.log.read_text(errors='replace')[-4000:]}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)


SERVER = ("-server", "-bootstrap-expect", "1")
REAL = ["consul"]
OURS = [sys.executable, "-m", "consulpy"]


@contextmanager
def agents(directory: Path, *flags: str, real: str, ours: str, token: str = "") -> Iterator[tuple[Agent, Agent]]:
    """(a real server, ours) with these flags, each leading a datacenter of its own. `token`: of all requests."""
    running = [Agent(REAL, real, directory, *SERVER, *flags), Agent(OURS, ours, directory, *SERVER, *flags)]
    try:
        for agent in running:
            agent.token = token
            agent.wait_until_it_leads()
        yield running[0], running[1]
    finally:
        for agent in running:
            agent.close()


def page_of(agent: Agent, folder: Path) -> list[str]:
    """Put the page of a real agent into a folder for `-ui-dir`; the names of its files below `assets/`."""
    index = agent.ask("/ui/").text
    names = sorted(set(re.findall(r"/ui/(assets/[\w./-]+)", index)))
    files = {name: agent.ask(f"/ui/{name}").body for name in names}
    files["index.html"] = index.replace("/ui/", "{{.ContentPath}}").encode()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return names
