"""DNS rows: queries a second over a catalog with services of 3 and of 100 instances."""

import random
import struct
from pathlib import Path

import load_generators
from processes import Running
from report import Row, Sample
from task import Settings, Task, task

_TYPES = {"A": 1, "SRV": 33}


def text(names: list[str], kind: str) -> bytes:
    """A dnsperf input of questions."""
    return "".join(f"{name} {kind}\n" for name in names).encode()


def scrambled(name: str, count: int, rng: random.Random) -> list[str]:
    """The name in random letter case, as resolvers send it against spoofing (0x20 encoding)."""
    return ["".join(rng.choice((letter.upper(), letter)) for letter in name) for _ in range(count)]


def with_cookies(name: str, count: int, rng: random.Random) -> bytes:
    """A binary dnsperf input (length-prefixed messages): one question with different EDNS cookies."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    messages = []
    for _ in range(count):
        cookie = struct.pack("!HH", 10, 8) + rng.randbytes(8)
        extra = b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(cookie)) + cookie
        message = struct.pack("!6H", 0, 0x0100, 1, 0, 0, 1) + question + struct.pack("!HH", _TYPES["A"], 1) + extra
        messages.append(struct.pack("!H", len(message)) + message)
    return b"".join(messages)


def tasks(settings: Settings, directory: Path, label: str, nodes: int) -> list[Task]:
    """The rows for a catalog of `nodes` nodes; `label`: the size in their names."""
    rng = random.Random(1)
    names = [f"node-{number}.node.consul" for number in range(nodes)]
    rows: list[tuple[str, bytes, str, list[str]]] = [
        (f"DNS node A, {label}", text(["node-7.node.consul"], "A"), ">= 2.0", []),
        (f"DNS node A, {nodes} names in turn, {label}", text(names, "A"), ">= 2.0", []),
        (f"DNS NXDOMAIN, {label}", text([f"nobody-{at}.node.consul" for at in range(1000)], "A"), ">= 1.5", []),
        (f"DNS service 3 A, {label}", text(["three.service.consul"], "A"), ">= 2.5", []),
        (f"DNS service 3 SRV, {label}", text(["three.service.consul"], "SRV"), ">= 2.5", []),
    ]
    if nodes >= 100:
        cookies = with_cookies("node-7.node.consul", 1000, rng)
        cased = text(scrambled("node-7.node.consul", 1000, rng), "A")
        rows += [
            (f"DNS service 100 A, {label}", text(["hundred.service.consul"], "A"), ">= 10", []),
            (f"DNS service 100 SRV, {label}", text(["hundred.service.consul"], "SRV"), ">= 10", []),
            (f"DNS service 100 SRV, EDNS, {label}", text(["hundred.service.consul"], "SRV"), ">= 10", ["-e"]),
            (f"DNS service 100 A, TCP, {label}", text(["hundred.service.consul"], "A"), ">= 10", ["-m", "tcp"]),
            (f"DNS service 100 SRV, TCP, {label}", text(["hundred.service.consul"], "SRV"), ">= 10", ["-m", "tcp"]),
            (f"DNS node A, TCP, {label}", text(["node-7.node.consul"], "A"), "", ["-m", "tcp"]),
            (f"DNS node A, random case, {label}", cased, ">= 1.5", []),
            (f"DNS node A, EDNS cookies that differ, {label}", cookies, ">= 1.5", ["-B"]),
        ]
    return [_task(settings, directory / f"{label}-{at}", *each) for at, each in enumerate(rows)]


def _task(settings: Settings, file: Path, name: str, questions: bytes, target: str, flags: list[str]) -> Task:
    file.write_bytes(questions)

    def measure(agent: Running) -> Sample:
        return load_generators.dns(agent, file, settings.seconds, *flags)

    return task(Row(name, "queries/s", target), measure)
