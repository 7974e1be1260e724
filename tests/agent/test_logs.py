"""Log lines look like Consul's."""

import orjson
from twisted.logger import Logger, LogLevel

from consulpy.agent.logs import log_line, stream

EVENT = {
    "log_time": 1_700_000_000.1234,
    "log_level": LogLevel.warn,
    "log_namespace": "consulpy.serf.machine",
    "log_format": "{what} happened",
    "what": "something",
}


def test_a_line_has_time_level_and_room() -> None:
    assert log_line(EVENT) == "2023-11-14T22:13:20.123Z [WARN]  agent.serf: something happened"


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
