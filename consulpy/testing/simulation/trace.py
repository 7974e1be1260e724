"""Traces of simulations: lines of JSON, equal byte by byte for equal seeds.

The first line has versions, settings and schedule; then comes one for each event, fault and action (what the program
asked a node), with its virtual time in seconds; the last one has the number of lines before it and their SHA-256.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from consulpy import VERSION
from consulpy.errors import ConsulpyError

#: The version of this format.
FORMAT: Final = 1
END: Final = "end"


class TraceError(ConsulpyError):
    """A file is no whole trace of this version, or the simulation does not do again what it says."""


def line(value: Mapping[str, Any]) -> str:
    """One line of a trace, without its end."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


@dataclass(slots=True)
class Recorder:
    """The lines of a running simulation, if it `keeps` them, from `is_open` on. `count`: number of events so far."""

    lines: list[str] = field(default_factory=list)
    keeps: bool = True
    is_open: bool = False
    count: int = 0

    def add(self, time_s: float, value: Mapping[str, Any]) -> None:
        """Add an event at a virtual time."""
        self.count += 1
        if self.keeps and self.is_open:
            self.lines.append(line({"time": round(time_s, 6), **value}))


def text_of(header: Mapping[str, Any], lines: list[str], end_s: float) -> str:
    """A whole trace."""
    first = line({"trace": FORMAT, "consulpy": VERSION, **header})
    body = "\n".join([first, *lines]) + "\n"
    digest = hashlib.sha256(body.encode("ascii")).hexdigest()
    return body + line({"time": round(end_s, 6), "event": END, "lines": len(lines) + 1, "sha256": digest}) + "\n"


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace that was read. `lines`: those between the first and the last one."""

    header: dict[str, Any]
    lines: list[str]
    end_s: float

    @classmethod
    def read(cls, path: str | Path) -> "Trace":
        """The trace in a file. Raises `TraceError`."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise TraceError(f"{path}: {error.strerror or error}") from None
        lines = data.decode("utf-8", "replace").splitlines()
        header = _json(lines[0]) if lines else None
        if not isinstance(header, dict) or "trace" not in header:
            raise TraceError(f"{path}: this is no trace of a simulation")
        if header["trace"] != FORMAT or header.get("consulpy") != VERSION:
            written = f"version {header['trace']} by consulpy {header.get('consulpy')}"
            raise TraceError(f"{path}: a trace of {written}; this is consulpy {VERSION} with version {FORMAT}")
        last = _json(lines[-1])
        if not isinstance(last, dict) or last.get("event") != END or not data.endswith(b"\n"):
            raise TraceError(f"{path}: the trace is cut: it ends after {len(lines)} lines, without its last one")
        body = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
        if last.get("sha256") != hashlib.sha256(body).hexdigest() or not isinstance(last.get("time"), int | float):
            raise TraceError(f"{path}: the trace was changed: its lines are not those that its last one stands for")
        return cls(header, lines[1:-1], float(last["time"]))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
