"""Report sections of a failed test about its agents: their logs, and why members are not alive."""

from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from consulpy.agent.process.logs import log_line
from consulpy.log import split_namespace
from consulpy.testing.consul import Consul
from consulpy.testing.operations import Operations, RequestFailed

#: Lines that are kept of all agents in this process, and lines of one agent in a report.
LINES_MAX: Final = 5000
SHOWN_MAX: Final = 100
#: Members whose failure is explained.
EXPLAINED_MAX: Final = 5


@implementer(ILogObserver)
class LogCollector:
    """The log lines of the agents in this process, by node. `directory`: where they are written too, a file a node."""

    def __init__(self, directory: Path | None = None) -> None:
        self._lines: deque[tuple[str, str]] = deque(maxlen=LINES_MAX)
        self._directory = directory
        self._files: dict[str, IO[str]] = {}
        #: Lines so far, also of those that are not kept any more.
        self.lines_seen = 0
        globalLogPublisher.addObserver(self)

    def __call__(self, event: dict[str, Any]) -> None:
        """Keep an event of an agent in this process (`ILogObserver`)."""
        node, _ = split_namespace(str(event.get("log_namespace", "")))
        if not node or event.get("trace"):
            return
        line = log_line(event)
        self.lines_seen += 1
        self._lines.append((node, line))
        if self._directory is not None:
            if node not in self._files:
                self._files[node] = (self._directory / f"{quote(node, safe='')}.log").open("a", encoding="utf-8")
            print(line, file=self._files[node], flush=True)

    def since(self, seen: int) -> dict[str, str]:
        """The log of each node since `lines_seen` was `seen`."""
        found: dict[str, list[str]] = {}
        new = list(self._lines)[max(len(self._lines) - (self.lines_seen - seen), 0) :]
        for node, line in new if self.lines_seen > seen else ():
            found.setdefault(node, []).append(line)
        return {node: "\n".join(lines) for node, lines in found.items()}

    def close(self) -> None:
        """Stop collecting."""
        globalLogPublisher.removeObserver(self)
        for file in self._files.values():
            file.close()


def log_sections(logs: Mapping[str, str]) -> list[tuple[str, str]]:
    """A section for each agent that has logged something."""
    found = []
    for node, text in logs.items():
        lines = text.rstrip().splitlines()
        left_out = [f"... {len(lines) - SHOWN_MAX} lines before"] if len(lines) > SHOWN_MAX else []
        if lines:
            found.append((f"log of {node}", "\n".join([*left_out, *lines[-SHOWN_MAX:]])))
    return found


def why_sections(agents: Iterable[Consul]) -> list[tuple[str, str]]:
    """A section for each member that is not alive, as one of the agents sees it."""
    found: dict[str, str] = {}
    for each in agents:
        if len(found) >= EXPLAINED_MAX:
            break
        try:
            states = each.members()
            failed = [name for name, state in states.items() if state not in ("alive", "left") and name not in found]
            for name in failed[:EXPLAINED_MAX]:
                found[name] = f"{name} is {states[name]}: {each.backend.run(_why(name))}"
        except (RuntimeError, OSError):  # it has ended, or it is no test's business to ask it now
            continue
    return [(f"why {name}", text) for name, text in found.items()]


def _why(name: str) -> Any:
    async def ask(operations: Operations) -> str:
        try:
            answer = await operations.get(f"/v1/agent/timeline/{quote(name, safe='')}")
        except (RequestFailed, ValueError):
            return "this agent does not say why"
        verdict = answer.get("verdict") or {}
        fix = f" Fix: {verdict['fix']}" if verdict.get("fix") else ""
        return f"{verdict.get('cause', 'unknown')}: {verdict.get('text', '')}{fix}"

    return ask
