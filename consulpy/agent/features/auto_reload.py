"""Reload of the configuration when its files change (`auto_reload_config`; Consul has it since 1.12).

Files are looked at once a second, in a thread: that also finds links that lead elsewhere and directories of
other hosts, of which the kernel says nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.config.disk import SUFFIXES
from consulpy.config.schema import RuntimeConfig
from consulpy.log import Logger

#: Seconds between looks. Changes are applied at the first look that finds no further one, so that no half of a file is.
INTERVAL_S: Final = 1.0
#: Looks after which changes are applied though they go on.
LOOKS_MAX: Final = 10

#: Path -> device, inode, time of the last change and size; None for a file that is not there.
Signatures = Mapping[str, tuple[int, int, int, int] | None]

_log = Logger()


def watched_paths(config: RuntimeConfig) -> list[str]:
    """Configuration files and directories, and the files of certificates, of port 8300 and of HTTPS."""
    names = ("ca_file", "ca_path", "cert_file", "key_file")
    certificates = [getattr(config, name) for name in names] + [config.https_tls.get(name, "") for name in names]
    return [*config.config_files, *filter(None, certificates)]


def signatures(paths: Iterable[str]) -> Signatures:
    """The present state of files, and of those in directories that are configuration or certificates."""
    found: dict[str, tuple[int, int, int, int] | None] = {}
    for path in map(Path, paths):
        files = [path]
        try:
            if path.is_dir():
                files = [each for each in path.iterdir() if each.suffix in (*SUFFIXES, ".pem", ".crt")]
        except OSError:
            pass
        for file in files:
            try:
                stat = file.stat()
            except OSError:
                found[str(file)] = None
            else:
                found[str(file)] = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


class AutoReload:
    """Polls files from `start` to `stop`. `look()`: their state, in a thread. `reload()`: applies it."""

    def __init__(
        self, clock: Clock, look: "Callable[[], Deferred[Signatures]]", reload: "Callable[[], Deferred[Any]]"
    ) -> None:
        self._clock = clock
        self._look = look
        self._reload = reload
        self._timer: Timer | None = None
        self._stopped = False
        #: The state that is applied, and that of the last look.
        self._applied: Signatures | None = None
        self._seen: Signatures | None = None
        #: Looks since the first change that is not applied.
        self._looks = 0

    def start(self) -> None:
        """Compare the files with their present state from now on."""
        self._look_now()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped = True
        cancel_timer(self._timer)
        self._timer = None

    def _look_now(self) -> None:
        self._timer = None
        self._look().addCallbacks(self._looked, self._failed).addErrback(self._failed).addBoth(self._again)

    def _again(self, _result: object) -> None:
        if not self._stopped:
            self._timer = self._clock.callLater(INTERVAL_S, self._look_now)

    def _failed(self, failure: Failure) -> None:
        _log.error("auto_reload_config: {why}", why=failure.getErrorMessage())

    def _looked(self, now: Signatures) -> "Deferred[Any] | None":
        before, self._seen = self._seen, now
        if self._applied is None:
            self._applied = now
        if now == self._applied or self._stopped:
            self._looks = 0
            return None
        self._looks += 1
        if now != before and self._looks < LOOKS_MAX:
            return None
        changed = sorted(path for path in {*now, *self._applied} if now.get(path) != self._applied.get(path))
        self._applied, self._looks = now, 0
        _log.info("changed, reloading: {files}", files=", ".join(changed))
        return self._reload()
