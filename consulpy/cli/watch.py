"""`consulpy watch`: prints the latest result, or runs a program with each new one."""

import os
import signal
import subprocess
import time
from typing import Any, Final

from consulpy.cli import signals
from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.format import FILTER, as_json
from consulpy.cli.main import say
from consulpy.client import ClientError, NoAgent
from consulpy.client.watch import Watched, retry_pause_s, watch_query
from consulpy.gocompat.flag import Flag, switch
from consulpy.gocompat.json_encode import compact_json

_STRING: Final = {"default": "", "placeholder": "string"}


@command(
    "watch",
    "Watch for changes in the cluster",
    usage="watch [options] [child...]",
    about="""
Watches for changes in a given data view. If a child process
is specified, it will be invoked with the latest results on changes. Otherwise,
the latest values are dumped to stdout and the watch terminates.

Providing the watch type is required, and other parameters may be required
or supported depending on the watch type.
""",
    flags=[
        FILTER,
        Flag("key", "Specifies the key to watch. Only for 'key' type.", **_STRING),  # type: ignore[arg-type]
        Flag("name", "Specifies an event name to watch. Only for 'event' type.", **_STRING),  # type: ignore[arg-type]
        Flag(
            "passingonly",
            "Specifies if only hosts passing all checks are displayed. Optional for 'service' type, must be one of "
            "`[true|false]`. Defaults false.",
            default="",
            placeholder="[true|false]",
        ),
        Flag("prefix", "Specifies the key prefix to watch. Only for 'keyprefix' type.", **_STRING),  # type: ignore[arg-type]
        Flag(
            "service",
            "Specifies the service to watch. Required for 'service' type, optional for 'checks' type.",
            **_STRING,  # type: ignore[arg-type]
        ),
        Flag(
            "shell",
            "Use a shell to run the command (can set a custom shell via the SHELL environment variable).",
            switch,
            default=True,
        ),
        Flag("state", "Specifies the states to watch. Optional for 'checks' type.", **_STRING),  # type: ignore[arg-type]
        Flag(
            "tag",
            "Specifies the service tag(s) to filter on. Optional for 'service' type. May be specified multiple times",
            many=True,
        ),
        Flag(
            "type",
            "Specifies the watch type. One of key, keyprefix, services, nodes, service, checks, or event.",
            **_STRING,  # type: ignore[arg-type]
        ),
    ],
    uses_agent=True,
    uses_servers=True,
    stop_at_argument=True,
)
def watch(given: Invocation) -> int:
    """Query once, or repeatedly if there is a child program."""
    if not given.values["type"]:
        raise UsageError("Watch type must be specified")
    try:
        path, params = watch_query(given.values)
    except ValueError as error:
        given.err(str(error))
        return 1
    try:
        with signals.raised():
            return _follow(given, path, params | given.query)
    except KeyboardInterrupt as interrupt:
        if isinstance(interrupt, signals.Ended) and interrupt.number != signal.SIGTERM:
            raise
        return 0  # as in Consul: a watch has no other end


def _follow(given: Invocation, path: str, params: dict[str, Any]) -> int:
    """Query until an error; the exit status. Without a child program the first result is printed."""
    if given.arguments:
        given.progress.disable()  # the child's output is what a person waits for
    watched, failures, has_answered = Watched(given.values["type"]), 0, False
    while True:
        try:
            index, answer = given.client.watch(path, params, int(watched.position or 0))
        except ClientError as error:
            watched.failed()
            is_absent = not has_answered and isinstance(error, NoAgent)
            say(error, "Error querying Consul agent" if is_absent else "Error querying agent")
            if is_absent or not given.arguments:
                return 1
            failures += 1
            time.sleep(retry_pause_s(failures))
            continue
        failures, has_answered = 0, True
        if not watched.is_news(index, answer):
            continue
        if not given.arguments:
            given.out(as_json(watched.result))
            return 0
        fault = _run(given, index, watched.result)
        if fault:
            given.err(f"Error executing handler: {fault}")
            return 1


def _run(given: Invocation, index: int, result: Any) -> str:
    """Run the child with the result on its standard input until it ends; how it failed, empty if it did not."""
    child: list[str] = given.arguments
    if given.values["shell"]:
        child = [os.environ.get("SHELL", "/bin/sh"), "-c", " ".join(given.arguments)]
    environment = {**os.environ, "CONSUL_INDEX": str(index)}
    process: subprocess.Popen[bytes] | None = None
    try:
        with signals.after_start():
            process = subprocess.Popen(
                child,
                stdin=subprocess.PIPE,
                env=environment,
                start_new_session=True,
                preexec_fn=signals.ending_with_us(),
            )
        process.communicate(compact_json(result) + b"\n")  # a line, as handlers read it by lines
    except OSError as error:
        return str(error.strerror or error)
    except KeyboardInterrupt:
        if process is not None:
            signals.end_group(process)
        raise
    status = process.returncode
    return "" if not status else f"signal: {-status}" if status < 0 else f"exit status {status}"
