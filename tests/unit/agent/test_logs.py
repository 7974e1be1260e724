"""Log lines look like Consul's."""

import orjson
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from consulpy.agent.process.logs import log_line, stream
from consulpy.cli.table import table

EVENT = {
    "log_time": 1_700_000_000.1234,
    "log_level": LogLevel.warn,
    "log_namespace": "consulpy.serf.machine",
    "log_format": "{what} happened",
    "what": "something",
}


def test_a_line_has_time_level_and_package() -> None:
    assert log_line(EVENT) == "2023-11-14T22:13:20.123Z [WARN]  agent.serf: something happened"


def test_the_gossip_pools_have_names_of_their_own() -> None:
    assert "[WARN]  agent.serf.wan: " in log_line({**EVENT, "log_namespace": "consulpy.serf.wan"})


def test_trace_lines_are_shown_at_their_own_level_only() -> None:
    shown: dict[str, list[str]] = {"trace": [], "debug": []}
    cancels = [stream(level, False, lines.append) for level, lines in shown.items()]

    Logger("consulpy.serf").debug("probed", trace=True)
    for cancel in cancels:
        cancel()

    assert [line[25:] for line in shown["trace"]] == ["[TRACE] agent.serf: probed"]
    assert shown["debug"] == []


def test_a_line_as_json() -> None:
    assert orjson.loads(log_line(EVENT, as_json=True)) == {
        "@level": "warn",
        "@message": "something happened",
        "@module": "agent.serf",
        "@timestamp": "2023-11-14T22:13:20.123Z",
    }


def test_a_stream_shows_its_level_and_above_until_it_ends() -> None:
    lines: list[str] = []
    log = Logger("consulpy.dns.transport")
    cancel = stream("info", False, lines.append)
    log.debug("too small")
    log.info("shown")
    cancel()
    cancel()
    log.info("too late")
    assert [line.partition(" ")[2] for line in lines] == ["[INFO]  agent.dns: shown"]


HOSTILE = "n1\n2023-11-14T22:13:20.123Z [INFO]  agent: all is well\x1b[2K\r\u202eevil\u2028\x9b\udcff"


def test_a_name_from_outside_forges_no_line() -> None:
    line = log_line(EVENT | {"what": HOSTILE})
    assert line.isprintable()
    assert "n1\\n2023" in line
    assert line.endswith("\\x1b[2K\\r\\u202eevil\\u2028\\x9b\\xff happened")
    assert orjson.loads(log_line(EVENT | {"what": HOSTILE}, as_json=True))["@message"] == line.partition("serf: ")[2]


def test_the_lines_of_a_traceback_look_like_no_first_line() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        failure = Failure()
    first, *others = log_line(EVENT | {"log_failure": failure}).split("\n")
    assert first.endswith("something happened: Traceback (most recent call last):")
    assert others
    assert all(line.startswith("    ") and line.isprintable() for line in others)


@given(st.text())
def test_whatever_is_said_is_one_printable_line(text: str) -> None:
    assert log_line(EVENT | {"what": text}).isprintable()
    assert all(line.isprintable() for line in table([["a", text], [text, "b"]], ["One", "Two"]).split("\n"))
    assert len(table([["a", text], [text, "b"]], ["One", "Two"]).split("\n")) == 3


def test_without_file_descriptors_one_line_says_so() -> None:
    lines: list[str] = []
    cancel = stream("info", False, lines.append)
    log, twisted = Logger("consulpy.dns.recursor"), Logger("twisted.internet.tcp")
    missing = OSError(24, "Too many open files")
    for _ in range(5):
        log.warn("recursor {recursor} failed: {error}", recursor="10.0.0.1", error=missing)
        log.error("cannot write: {error}", error=str(missing))
        log.failure("check broke", Failure(missing))
        twisted.info("EMFILE encountered; releasing reserved file descriptor.")
        twisted.info("Could not accept new connection ({acceptError})", acceptError="EMFILE")
        twisted.failure("Could not re-reserve EMFILE recovery file descriptor.", Failure(missing))
    log.warn("recursor {recursor} failed: {error}", recursor="10.0.0.1", error="something else, Too many open files")
    cancel()
    assert [line.partition(" ")[2] for line in lines] == [
        "[WARN]  agent: out of file descriptors (ulimit -n); said once in 30 s",
        "[WARN]  agent.dns: recursor 10.0.0.1 failed: something else, Too many open files",
    ]
