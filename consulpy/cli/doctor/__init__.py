"""`consulpy doctor`: checks of the agent, its host and its cluster, or of an address to join; each with its fix."""

import dataclasses
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.doctor.host import agent_down_findings
from consulpy.cli.format import FORMAT
from consulpy.client import AnswerError, ClientError, NoAgent
from consulpy.client.settings import ClientSettings
from consulpy.codec.printable import printable
from consulpy.diagnosis.causes import Cause, Finding
from consulpy.gocompat.flag import Flag

#: How long the agent may take, in seconds; what it can't answer within is looked at from here.
AGENT_S: Final = 4.2
#: An agent that does not say what it is within this is stuck.
FROZEN_S: Final = 3.0
#: An agent runs late if `SLOW_ANSWERS` of `ANSWERS` answers take longer than this, in seconds.
SLOW_S: Final = 0.5
SLOW_ANSWERS: Final = 2
ANSWERS: Final = 3
#: Where an agent has not answered a small request after so long, in seconds, a target is looked at from here too.
STUCK_S: Final = 0.8
#: How long that takes at most, in seconds.
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
    began_s = _now_s()
    client = given.client
    with ThreadPoolExecutor(max_workers=ANSWERS + 1) as threads:
        asked = threads.submit(lambda: client.doctor(target, AGENT_S))
        times = [threads.submit(_answer_time_s, given) for _ in range(1 if target else ANSWERS)]
        from_here: list[Finding] = []
        if target and not wait(times, timeout=STUCK_S).done:  # it may never answer: look meanwhile
            from_here = _target_from_here(target)
        try:
            found = asked.result()
        except ClientError as error:
            findings = _without_agent(given, error, _now_s() - began_s)
            if target:
                findings += from_here or _target_from_here(target)
            return [finding.to_json() for finding in findings]
        took_s = [each.result() for each in times]
    if target:
        return found
    if sum(each > SLOW_S for each in took_s) >= SLOW_ANSWERS and not any(f["cause"] == Cause.SELF_SLOW for f in found):
        text = f"The agent answers late: {', '.join(f'{each:.2f} s' for each in took_s)}."
        fix = "give this host more CPU and memory, or find what takes them (top, vmstat)"
        found.insert(0, Finding("answer", "warn", Cause.SELF_SLOW, text, fix).to_json())
    return found


def _answer_time_s(given: Invocation) -> float:
    """Seconds until the agent answers a small request; infinite for no answer."""
    from consulpy.client import Client

    began_s = _now_s()
    settings = dataclasses.replace(ClientSettings.of(given.values, os.environ), timeout_s=FROZEN_S)
    try:
        Client(settings).get("/v1/agent/version")
    except AnswerError:
        pass
    except ClientError:
        return float("inf")
    return _now_s() - began_s


def _target_from_here(target: str) -> list[Finding]:
    """What this process sees of an address to join."""
    from consulpy.cli.doctor.target import target_findings

    return target_findings(target, TARGET_S)


def _without_agent(given: Invocation, error: ClientError, took_s: float) -> list[Finding]:
    """No findings of an agent: what can be seen from here."""
    settings: ClientSettings = given.client.settings
    if isinstance(error, AnswerError):
        findings = _of_error(given, error)
    elif isinstance(error, NoAgent) and error.refused:
        findings = agent_down_findings(settings)
    elif took_s >= FROZEN_S:
        text = f"The agent's HTTP port {settings.address} opens, and nothing was answered within {FROZEN_S:g} s."
        fix = f"look at the process that listens at {settings.address}: stopped (SIGCONT), swapping, or stuck"
        findings = [Finding("agent", "fail", Cause.AGENT_FROZEN, text, fix)]
    else:
        findings = agent_down_findings(settings, str(error))
    return findings


def _of_error(given: Invocation, error: AnswerError) -> list[Finding]:
    settings: ClientSettings = given.client.settings
    if error.status == 403:
        text = f"The agent at {settings.address} refuses to be examined: {error.text}."
        return [
            Finding(
                "agent", "warn", Cause.UNKNOWN, text, "give a token with agent read rights (-token; -target: write)"
            )
        ]
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
