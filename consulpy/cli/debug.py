"""`consulpy debug`: captures reports, metrics, logs and profiles of an agent into an archive."""

import json
import subprocess
import tarfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from consulpy.cli.command import Invocation, command
from consulpy.client import ClientError
from consulpy.codec.secrets import text_without_secrets, without_secrets
from consulpy.gocompat.duration import format_duration, parse_duration
from consulpy.gocompat.flag import Flag, switch

#: The capture targets, in the order of the output.
TARGETS: Final = ("metrics", "logs", "pprof", "host", "agent", "cluster")
#: Targets captured once at the start, with their API paths.
_STATIC: Final = {
    "host": "/v1/agent/host",
    "agent": "/v1/agent/self",
    "cluster": "/v1/agent/members",
}
#: Profiles of a Go agent: file, path, and whether it lasts for the interval.
_PROFILES: Final = (
    ("heap.prof", "/debug/pprof/heap", False),
    ("goroutine.prof", "/debug/pprof/goroutine", False),
    ("profile.prof", "/debug/pprof/profile", True),
    ("trace.out", "/debug/pprof/trace", True),
)
_LEAST_DURATION_S: Final = 10.0
_LEAST_INTERVAL_S: Final = 5.0
#: The systemd units whose journal `-since` captures, the file with it, and how long its reading may take, in seconds.
_UNITS: Final = ("consul", "consulpy")
_JOURNAL: Final = "journald.log"
_JOURNAL_S: Final = 120.0
#: How long a profile may run past its interval, in seconds.
_GRACE_S: Final = 30.0


@command(
    "debug",
    "Records a debugging archive for operators",
    usage="debug [options]",
    about="""
Monitors an agent for the specified period of time, recording information
about the agent, cluster, and environment to an archive written to the
specified path.

To create a debug archive in the current directory for the default duration
and interval, capturing all information available:

    $ consulpy debug

Flags can be used to customize the duration and interval of the operation.
Duration is the total time to capture data for from the target agent and
interval controls how often dynamic data such as metrics are scraped.

    $ consulpy debug -interval=20s -duration=1m

The capture flag can be specified multiple times to limit information
retrieved.

    $ consulpy debug -capture metrics -capture agent

What is captured can be highly sensitive: look through the archive before you
pass it on. Profiles (pprof) are what an agent written in Go
has; others are passed over.
""",
    flags=[
        Flag(
            "archive",
            "Boolean value for if the files should be archived and compressed. Setting this to false will skip the "
            "archive step and leave the directory of information on the current path.",
            switch,
            default=True,
        ),
        Flag(
            "capture",
            "One or more types of information to capture. This can be used to capture a subset of information, and "
            f"defaults to capturing everything available. Possible information for capture: {', '.join(TARGETS)}. "
            "This can be repeated multiple times.",
            many=True,
        ),
        Flag(
            "duration",
            "The total time to record information. Defaults to 2m0s.",
            parse_duration,
            default=120.0,
            placeholder="duration",
        ),
        Flag(
            "interval",
            "The interval in which to capture dynamic information such as telemetry, and profiling. Defaults to 30s.",
            parse_duration,
            default=30.0,
            placeholder="duration",
        ),
        Flag(
            "since",
            "Captures what the journal of this host (journald) has of Consul's units since so long, such as 1h, and "
            "nothing over time (since Consul 1.17).",
            parse_duration,
            default=0.0,
            placeholder="duration",
        ),
        Flag(
            "output",
            "The path to the compressed archive that will be created with the information after collection.",
            default="",
            placeholder="string",
        ),
    ],
    uses_agent=True,
)
def debug(given: Invocation) -> int:
    """Capture, then archive."""
    try:
        capture = _Capture(given)
    except _Refused as error:
        given.err(f"==> Capture validation failed: {error}")
        return 1
    given.out("==> Starting debugger and capturing static information...")
    for title, value in capture.about:
        given.out(f"{title:>18}: '{value}'")
    try:
        capture.begin()
        capture.static()
        if given.values["since"]:
            capture.journal(given.values["since"])
        else:
            with given.progress.waiting(f"Capturing for {format_duration(given.values['duration'])}"):
                capture.dynamic()
    except KeyboardInterrupt:
        given.out("==> Interrupted: keeping what was captured")
    except OSError as error:
        given.err(f"Error encountered during collection: {error}")
        return 1
    finally:
        capture.end()
    place = capture.pack() if given.values["archive"] else capture.folder
    given.out(f"    Saved debug archive: {place}")
    return 0


def _now_s() -> float:
    return time.monotonic()  # noqa: TID251 - a command has the world's clock


class _Refused(Exception):
    """Invalid flags or no agent; the text says why."""


class _LogFile:
    """The log file of the current interval; lines are written by another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: Any = None

    def open(self, place: Path) -> None:
        """Continue in the file `place`."""
        self.close()
        with self._lock:
            self._file = place.open("w", encoding="utf-8")

    def write(self, line: str) -> None:
        with self._lock:
            if self._file is not None:
                self._file.write(text_without_secrets(line) + "\n")

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


class _Capture:
    """One capture. Raises `_Refused`."""

    def __init__(self, given: Invocation) -> None:
        values = given.values
        if given.arguments:
            raise _Refused("Too many arguments provided, expected 0")
        self._given = given
        self._client = given.client
        self._duration_s: float = values["duration"]
        self._interval_s: float = values["interval"]
        self.folder = Path(values["output"] or f"consul-debug-{int(time.time())}")  # noqa: TID251 - a command's name
        self._archive = Path(f"{self.folder}.tar.gz")
        self._log = _LogFile()
        if values["since"] < 0:
            raise _Refused("since must not be negative")
        if self._duration_s < _LEAST_DURATION_S:
            raise _Refused(f"duration must be longer than {_LEAST_DURATION_S:g}s")
        if self._interval_s < _LEAST_INTERVAL_S:
            raise _Refused(f"interval must be longer than {_LEAST_INTERVAL_S:g}s")
        if self._duration_s < self._interval_s:
            raise _Refused(
                f"duration ({format_duration(self._duration_s)}) must be longer than interval "
                f"({format_duration(self._interval_s)})"
            )
        for place in (self.folder, *((self._archive,) if values["archive"] else ())):
            if place.exists():
                raise _Refused(f"output directory already exists: {place}")
        wanted: Sequence[str] = values["capture"] or TARGETS
        for target in wanted:
            if target not in TARGETS:
                raise _Refused(f"target not found: {target}")
        try:
            report = self._client.self_report()
        except ClientError as error:
            raise _Refused(f"error querying target agent: {error}. verify connectivity and agent address") from None
        self._targets = [target for target in TARGETS if target in wanted]
        if "pprof" in self._targets and not self._has_profiles():
            self._targets.remove("pprof")
            given.out("[WARN] Unable to capture pprof. The agent has no profiles, or enable_debug is not set on it.")
        self._version = str((report.get("Config") or {}).get("Version", ""))

    def _has_profiles(self) -> bool:
        try:
            return bool(self._client.profile("/debug/pprof/heap", None, _GRACE_S))
        except ClientError:
            return False

    @property
    def about(self) -> list[tuple[str, str]]:
        """The settings of the capture, for the user."""
        return [
            ("Agent Version", self._version),
            ("Interval", format_duration(self._interval_s)),
            ("Duration", format_duration(self._duration_s)),
            ("Output", str(self._archive if self._given.values["archive"] else self.folder)),
            ("Capture", ", ".join(self._targets)),
        ]

    def begin(self) -> None:
        """Create the directory and its index."""
        self.folder.mkdir(mode=0o700, parents=True)
        index = {
            "Version": 1,
            "AgentVersion": self._version,
            "Interval": format_duration(self._interval_s),
            "Duration": format_duration(self._duration_s),
            "Targets": self._targets,
        }
        self._write(self.folder / "index.json", index)

    def static(self) -> None:
        """Capture the static targets."""
        for target, path in _STATIC.items():
            if target in self._targets:
                params = {"wan": "1"} if target == "cluster" else None
                self._save(self.folder / f"{target}.json", path, params)

    def journal(self, since_s: float) -> None:
        """Capture the lines of Consul's units in the journal of this host."""
        units = [word for unit in _UNITS for word in ("--unit", unit)]
        words = ["journalctl", "--no-pager", "--output", "short-iso", "--since", f"-{max(round(since_s), 1)}s", *units]
        try:
            found = subprocess.run(words, capture_output=True, timeout=_JOURNAL_S, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            self._given.err(f"{_JOURNAL}: the journal can't be read: {error}")
            return
        lines = found.stdout.decode(errors="replace").splitlines()
        (self.folder / _JOURNAL).write_text("".join(f"{text_without_secrets(line)}\n" for line in lines), "utf-8")

    def dynamic(self) -> None:
        """Capture the dynamic targets, one directory an interval, until the duration is over."""
        if "logs" in self._targets:
            threading.Thread(target=self._follow_log, daemon=True).start()
        ends_s = _now_s() + self._duration_s
        number = 0
        while (left_s := ends_s - _now_s()) > 0:
            self._given.out(f"==> Beginning capture interval {time.strftime('%Y-%m-%d %H:%M:%S %z')} ({number})")
            folder = self.folder / str(int(time.time()))  # noqa: TID251 - a folder's name
            folder.mkdir(mode=0o700, exist_ok=True)
            self._interval(folder, min(self._interval_s, left_s))
            number += 1

    def _interval(self, folder: Path, length_s: float) -> None:
        if "logs" in self._targets:
            self._log.open(folder / "consul.log")
        threads = [
            threading.Thread(target=self._profile, args=(folder / name, path, whole, length_s), daemon=True)
            for name, path, whole in (_PROFILES if "pprof" in self._targets else ())
        ]
        for thread in threads:
            thread.start()
        time.sleep(length_s)
        if "metrics" in self._targets:
            self._save(folder / "metrics.json", "/v1/agent/metrics")
        for thread in threads:
            thread.join(_GRACE_S)

    def _follow_log(self) -> None:
        """Write the log lines to the file of the current interval."""
        try:
            for line in self._client.monitor("DEBUG"):
                self._log.write(line)
        except (ClientError, OSError) as error:
            self._given.err(f"consul.log: {error}")

    def _profile(self, place: Path, path: str, whole: bool, length_s: float) -> None:
        params = {"seconds": max(int(length_s), 1)} if whole else None
        try:
            answer = self._client.profile(path, params, length_s + _GRACE_S)
        except ClientError as error:
            self._given.err(f"{place.name}: {error}")
        else:
            place.write_bytes(answer)

    def _save(self, place: Path, path: str, params: dict[str, Any] | None = None) -> None:
        """Write a response to a file; a failure is reported."""
        try:
            self._write(place, self._client.get(path, params))
        except ClientError as error:
            self._given.err(f"{place.name}: {error}")

    def _write(self, place: Path, value: Any) -> None:
        value = without_secrets(value)  # Consul's agents show some
        place.write_text(json.dumps(value, indent="\t"), encoding="utf-8")

    def end(self) -> None:
        """Close the log file."""
        self._log.close()

    def pack(self) -> Path:
        """Replace the directory by a compressed archive; its path."""
        self._archive.touch(mode=0o600)
        with self._given.progress.waiting("Packing the archive"), tarfile.open(self._archive, "w:gz") as archive:
            archive.add(self.folder, self.folder.name, filter=_private)
        rmtree(self.folder)
        return self._archive


def _private(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry of the archive that only its owner may read, whatever the umask."""
    entry.mode &= 0o700
    return entry
