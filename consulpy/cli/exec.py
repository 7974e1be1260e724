"""`consulpy exec`: runs a command on agents and shows its output. Protocol: `agent.features.remote_exec`."""

import base64
import json
import shlex
import sys
import threading
import time
from typing import Any, Final

from consulpy.cli import signals
from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.event import FILTERS, filter_fault
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.client.api import key_path
from consulpy.codec.printable import printable
from consulpy.gocompat.duration import parse_duration
from consulpy.gocompat.flag import Flag, switch

_TTL_S: Final = 15.0
_STRING: Final[dict[str, Any]] = {"default": "", "placeholder": "string"}
_DURATION: Final[dict[str, Any]] = {"convert": parse_duration, "placeholder": "duration"}


@command(
    "exec",
    "Executes a command on Consul nodes",
    usage="exec [options] [-|command...]",
    about="""
Evaluates a command on remote Consul nodes. The nodes responding can
be filtered using regular expressions on node name, service, and tag
definitions. If a command is '-', stdin will be read until EOF
and used as a script input.

Only agents with disable_remote_exec = false respond.
""",
    flags=[
        Flag("node", "Regular expression to filter on node names.", **_STRING),
        Flag("prefix", "Prefix in the KV store to use for request data.", default="_rexec", placeholder="string"),
        Flag("service", "Regular expression to filter on service instances.", **_STRING),
        Flag("shell", "Use a shell to run the command.", switch, default=True),
        Flag("tag", "Regular expression to filter on service tags. Must be used with -service.", **_STRING),
        Flag("verbose", "Enables verbose output.", switch, default=False),
        Flag("wait", "Period to wait with no responses before terminating execution.", default=2.0, **_DURATION),
        Flag(
            "wait-repl",
            "Period to wait for replication before firing event. This is an optimization to allow stale reads to be "
            "performed.",
            default=0.2,
            **_DURATION,
        ),
    ],
    uses_agent=True,
    uses_servers=True,
    stop_at_argument=True,
)
def execute(given: Invocation) -> int:
    """Exit status: 0 if all nodes succeeded, 2 if not, 1 for a usage error or after a signal."""
    job = _job(given)
    wrong = filter_fault(given.values)
    if wrong:
        given.err(wrong)
        return 1
    try:
        with signals.raised():
            run = None
            try:
                with signals.delayed():
                    run = _Run(given)
                return run.run(job)
            except KeyboardInterrupt:
                return 1
            finally:
                if run is not None:
                    run.end()
    except ClientError as error:
        say(error, "Error executing")
        return 1


def _job(given: Invocation) -> dict[str, Any]:
    """The job for the agents."""
    words = given.arguments
    if not words:
        raise UsageError("Must specify a command to execute")
    wait_ns = int(given.values["wait"] * 1e9)
    if words == ["-"]:
        return {"Script": base64.b64encode(sys.stdin.buffer.read()).decode(), "Wait": wait_ns}
    if given.values["shell"]:
        return {"Command": " ".join(words), "Wait": wait_ns}
    return {"Args": words if len(words) > 1 else shlex.split(words[0]), "Wait": wait_ns}


class _Run:
    """One remote execution: its session, and its keys, which are deleted with the session."""

    def __init__(self, given: Invocation) -> None:
        self._given = given
        self._client = given.client
        self._dc = {"dc": given.values["datacenter"]}
        session = {"Name": "Remote Exec", "Behavior": "delete", "TTL": f"{_TTL_S:g}s"}
        self._session = str(self._client.put("/v1/session/create", self._dc, session)["ID"])
        self._base = f"{given.values['prefix']}/{self._session}/"
        self._ended = threading.Event()
        threading.Thread(target=self._renew, daemon=True).start()
        self._verbose(f"Created remote execution session: {self._session}")

    def _verbose(self, text: str) -> None:
        if self._given.values["verbose"]:
            self._given.out(text)

    def _renew(self) -> None:
        while not self._ended.wait(_TTL_S / 2):
            try:
                self._client.put(f"/v1/session/renew/{self._session}", self._dc)
            except ClientError as error:
                self._given.err(f"the session could not be renewed: {error}")

    def run(self, job: dict[str, Any]) -> int:
        """Write the job, fire the event and show the results; the exit status."""
        started_s = _now_s()
        place = key_path(f"{self._base}job")
        if not self._client.put(place, {**self._dc, "acquire": self._session}, raw_body=json.dumps(job).encode()):
            self._given.err("Failed to create job file")
            return 1
        self._verbose("Uploaded remote execution spec")
        time.sleep(self._given.values["wait-repl"])
        values = self._given.values
        payload = json.dumps({"Prefix": values["prefix"], "Session": self._session}).encode()
        filters = {name: values[name] or None for name in FILTERS}
        event = self._client.fire_event("_rexec", payload, **self._dc, **filters)
        self._verbose(f"Fired remote execution event: {event}")
        failed = self._follow()
        self._verbose(f"Completed in {_now_s() - started_s:0.2f} seconds")
        return 2 if failed else 0

    def _follow(self) -> bool:
        """Show the results until no more come; whether a node failed or is missing."""
        values = self._given.values
        seen: set[str] = set()
        acknowledged, done, failed = 0, 0, False
        index, last_s = 0, _now_s()
        path = key_path(self._base)
        while True:
            wait_s = values["wait"] * (2 if acknowledged > done else 1)
            left_s = last_s + wait_s - _now_s()
            if left_s <= 0:
                break
            with self._given.progress.waiting(f"{done} of {acknowledged} nodes have finished"):
                index, entries = self._client.watch(path, {**self._dc, "recurse": ""}, index, max(left_s, 0.001))
            for entry in sorted(entries or (), key=lambda entry: (entry["CreateIndex"], entry["Key"])):
                node, _, what = entry["Key"].removeprefix(self._base).partition("/")
                if entry["Key"] in seen or not what:
                    continue
                seen.add(entry["Key"])
                node = printable(node)
                last_s = _now_s()
                text = base64.b64decode(entry["Value"] or "").decode("utf-8", "replace")
                if what == "ack":
                    acknowledged += 1
                    self._verbose(f"==> {node}: acknowledged")
                elif what == "exit":
                    done += 1
                    failed |= text != "0"
                    self._given.out(f"==> {node}: finished with exit code {text}")
                elif text:
                    self._given.out("\n".join(f"    {node}: {line}".rstrip() for line in text.split("\n")))
        self._given.out(f"{done} / {acknowledged} node(s) completed / acknowledged")
        return failed or done < acknowledged

    def end(self) -> None:
        """Destroy the session and its keys."""
        self._ended.set()
        self._client.put(f"/v1/session/destroy/{self._session}", self._dc)


def _now_s() -> float:
    return time.monotonic()  # noqa: TID251 - a command has the world's clock


__all__ = ["execute"]
