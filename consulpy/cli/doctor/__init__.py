"""`consulpy doctor`: checks of the agent, its host and its cluster, or of an address to join; each with its fix."""

import dataclasses
import json
import os
import time
from concurrent.futures import Future, wait
from typing import Any, Final, NamedTuple

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.deadline import Deadline, in_thread
from consulpy.cli.doctor.host import agent_down_findings, listens_here
from consulpy.cli.format import FORMAT
from consulpy.client import AnswerError, ClientError, NoAgent
from consulpy.client.settings import ClientSettings
from consulpy.codec.printable import printable
from consulpy.diagnosis.causes import Cause, Finding
from consulpy.gocompat.flag import Flag

#: How long the command takes at most, in seconds, and the part of it that printing and the end of the process take.
LIMIT_S: Final = 5.0
END_S: Final = 0.4
#: How long the agent may take at least, in seconds, however late the command began.
AGENT_LEAST_S: Final = 3.0
#: An agent that does not say what it is within this is stuck.
FROZEN_S: Final = 3.0
#: An agent runs late if `SLOW_ANSWERS` of `ANSWERS` answers take longer than this, in seconds.
SLOW_S: Final = 0.5
SLOW_ANSWERS: Final = 2
ANSWERS: Final = 3
#: Where an agent has not answered a small request after so long, in seconds, a target is looked at from here too.
STUCK_S: Final = 0.8
#: How long that takes at least and at most, in seconds.
TARGET_LEAST_S: Final = 2.6
TARGET_S: Final = 3.2
_MARKS: Final = {"pass": "✓", "warn": "!", "fail": "✗"}


@command(
    "doctor",
    "Checks this agent, its host and its cluster, and says what to fix",
    usage="doctor [options]",
    about="""
Looks at the agent, its host, its servers and members, and names the cause of
whatever does not work, with what to do about it. With -target, looks at an
address as a join would, without joining. Takes 5 seconds at most, changes
nothing, and works while the agent is down. Exit status 1 if a check failed.
""",
    flags=[
        Flag("target", "Tries only this `address` (port 8301 by default), as a join would.", placeholder="address"),
        FORMAT,
    ],
    uses_agent=True,
)
def doctor(given: Invocation) -> int:
    """A tick list, or one JSON object."""
    if given.arguments:
        raise UsageError("The doctor command takes no arguments: an address to try is given as -target=ADDRESS.")
    findings = examine(given, given.values["target"] or "")
    if given.values["format"] == "json":
        given.out(json.dumps({"findings": findings}, indent=4))
    else:
        for finding in findings:
            given.out(printable(f"{_MARKS[finding['status']]} {finding['check']}: {finding['text']}"))
            if finding["status"] != "pass":
                given.out(printable(f"    {finding['cause']}. Fix: {finding['fix']}"))
    return 1 if any(finding["status"] == "fail" for finding in findings) else 0


def examine(given: Invocation, target: str) -> list[dict[str, Any]]:
    """All findings, as JSON shows them."""
    began_s, deadline = _now_s(), Deadline(LIMIT_S - END_S)
    client = given.client
    agent_s = deadline.left_s(AGENT_LEAST_S)
    asked = in_thread(lambda: client.doctor(target, agent_s))
    times = [in_thread(lambda: _small_request(given)) for _ in range(1 if target else ANSWERS)]
    from_here: list[Finding] = []
    if target and not wait(times, timeout=STUCK_S).done:  # it may never answer: look meanwhile
        from_here = _target_from_here(target, deadline)
    try:
        found = _found_by_agent(asked, times, began_s, deadline)
    except (ClientError, TimeoutError) as error:
        wait(times, timeout=max(0.0, began_s + FROZEN_S + 0.3 - _now_s()))  # whether a connection opens
        findings = _without_agent(given, error, _now_s() - began_s, times)
        if target and not any(finding.check == f"join {target}" for finding in findings):
            findings += from_here or _target_from_here(target, deadline)
        return [finding.to_json() for finding in findings]
    return found if target else [*_late_answers(found, times, deadline), *found]


def _found_by_agent(
    asked: "Future[list[dict[str, Any]]]", times: "list[Future[_Small]]", began_s: float, deadline: Deadline
) -> list[dict[str, Any]]:
    """The agent's findings. Raises `ClientError`, and `TimeoutError` if it is stuck or they do not come in time."""
    try:
        return asked.result(max(0.1, began_s + FROZEN_S + 0.1 - _now_s()))
    except TimeoutError:
        if not any(map(_has_answered, times)):
            raise
    return asked.result(deadline.left_s(0.1))


def _has_answered(request: "Future[_Small]") -> bool:
    return request.done() and request.result().took_s < float("inf")


def _has_opened(request: "Future[_Small]") -> bool:
    """Whether there was a connection. A request that has not ended reads an answer that does not end."""
    return not request.done() or request.result().opened


def _late_answers(
    found: list[dict[str, Any]], times: "list[Future[_Small]]", deadline: Deadline
) -> list[dict[str, Any]]:
    """A finding if small requests are answered late, and the agent has not said so itself."""
    wait(times, timeout=deadline.left_s(0.1))
    took_s = [each.result().took_s if each.done() else float("inf") for each in times]
    if sum(each > SLOW_S for each in took_s) < SLOW_ANSWERS or any(f["cause"] == Cause.SELF_SLOW for f in found):
        return []
    shown = ", ".join(f"{each:.2f} s" if each < FROZEN_S else f"not in {FROZEN_S:g} s" for each in took_s)
    fix = "give this host more CPU and memory, or find what takes them (top, vmstat)"
    return [Finding("answer", "warn", Cause.SELF_SLOW, f"The agent answers late: {shown}.", fix).to_json()]


class _Small(NamedTuple):
    """A small request: seconds until it was answered, infinite for no answer, and whether a connection opened."""

    took_s: float
    opened: bool


def _small_request(given: Invocation) -> _Small:
    from consulpy.client import Client

    began_s = _now_s()
    settings = dataclasses.replace(ClientSettings.of(given.values, os.environ), timeout_s=FROZEN_S)
    try:
        Client(settings).get("/v1/agent/version")
    except AnswerError:
        pass
    except NoAgent as error:
        return _Small(float("inf"), error.opened)
    except ClientError:
        return _Small(float("inf"), True)
    return _Small(_now_s() - began_s, True)


def _target_from_here(target: str, deadline: Deadline) -> list[Finding]:
    """Findings of this process about an address to join."""
    from consulpy.cli.doctor.target import target_findings

    return target_findings(target, min(deadline.left_s(TARGET_LEAST_S), TARGET_S))


def _without_agent(given: Invocation, error: Exception, took_s: float, times: "list[Future[_Small]]") -> list[Finding]:
    """No findings of an agent: what can be seen from here."""
    settings: ClientSettings = given.client.settings
    if isinstance(error, AnswerError):
        return _of_error(given, error)
    if isinstance(error, NoAgent) and error.refused:
        return agent_down_findings(settings)
    opens = any(map(_has_opened, times))
    if not opens and not listens_here(settings.address):
        return agent_down_findings(settings, str(error) or "no connection opens")
    if took_s < FROZEN_S:
        return agent_down_findings(settings, str(error))
    if any(map(_has_answered, times)):
        text = f"The agent at {settings.address} answers, and its checks did not end in time."
        fix = "run consulpy doctor again; look at the host's load (top)"
        return [Finding("agent", "warn", Cause.UNKNOWN, text, fix)]
    how = "opens, and nothing was answered" if opens else "is held by a program, and no connection opened"
    text = f"The agent's HTTP port {settings.address} {how} within {FROZEN_S:g} s."
    fix = f"look at the process that listens at {settings.address}: stopped (SIGCONT), swapping, or stuck"
    return [Finding("agent", "fail", Cause.AGENT_FROZEN, text, fix)]


def _of_error(given: Invocation, error: AnswerError) -> list[Finding]:
    settings: ClientSettings = given.client.settings
    target = given.values["target"]
    if error.status == 301 and target:  # a path with .. or // in it
        text, fix = f"{target} is no address.", "write host, host:port or [IPv6]:port"
        return [Finding(f"join {target}", "fail", Cause.NAME_UNRESOLVED, text, fix)]
    if error.status == 403:
        text = f"The agent at {settings.address} refuses to be examined: {error.text}."
        return [
            Finding(
                "agent", "warn", Cause.UNKNOWN, text, "give a token with agent read rights (-token; -target: write)"
            )
        ]
    if error.needs_https:
        text = f"{settings.address} is an HTTPS port, and was sent plain HTTP."
        return [Finding("agent", "fail", Cause.TLS_MISMATCH, text, f"use -http-addr=https://{settings.address}")]
    if not _is_consul(given):
        return agent_down_findings(settings, f"what listens there is no Consul ({error})")
    text = f"The agent at {settings.address} does not examine itself: {error}. It is another Consul."
    return [Finding("agent", "warn", Cause.UNKNOWN, text, "run consulpy doctor against a consulpy agent (-http-addr)")]


def _is_consul(given: Invocation) -> bool:
    """Whether the HTTP API of an agent answers, one of another program's."""
    try:
        about = given.client.get("/v1/agent/self")
    except AnswerError as error:
        return error.status == 403
    except (ClientError, ValueError):
        return False
    return isinstance(about, dict) and "Config" in about


def _now_s() -> float:
    return time.perf_counter()
