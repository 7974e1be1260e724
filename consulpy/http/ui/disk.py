"""Where the page's files are: in the package, read once; or in a folder of the operator's, read when they change.

`find` is called in a thread; each call is short but the first one of `PackageFiles`.
"""

import os
import stat
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Final

import consulpy
from consulpy.http.ui.content import Content, content, digest
from consulpy.http.ui.modules import joined
from consulpy.http.ui.paths import is_file_name

#: Largest file of a folder that is served, in bytes; larger ones are refused.
FILE_MAX_BYTES: Final = 32 * 1024 * 1024
#: Bytes of a folder's files that stay in memory, the most recently used ones.
MEMORY_MAX_BYTES: Final = 16 * 1024 * 1024
#: The page of this package.
PACKAGED: Final = Path(consulpy.__file__).parent / "ui" / "static"


class FileTooLarge(Exception):
    """A file is above `FILE_MAX_BYTES`."""


class PackageFiles:
    """The files below a folder that does not change while the agent runs: all read at the first use, and kept.

    Modules that every view needs are one file (`modules`).
    """

    def __init__(self, folder: Path = PACKAGED) -> None:
        self._folder = folder
        self._files: dict[str, Content] | None = None
        self._version = ""
        self._lock = Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether `find` reads nothing more."""
        return self._files is not None

    @property
    def version(self) -> str:
        """Stands for the content of all files; known once they are loaded."""
        return self._version

    def load(self) -> None:
        """Read and compress all files. Raises `OSError`, `ModuleError`."""
        with self._lock:
            if self._files is not None:
                return
            found = {
                path.relative_to(self._folder).as_posix(): path.read_bytes()
                for path in sorted(self._folder.rglob("*"))
                if path.is_file()
            }
            found = joined(found)
            self._version = digest(b"".join(b"%s\0%d\0%s" % (n.encode(), len(d), d) for n, d in found.items()))
            self._files = {name: content(name, data) for name, data in found.items()}

    def find(self, name: str) -> Content | None:
        """A file; None if there is none of this name."""
        self.load()
        assert self._files is not None
        return self._files.get(name)


class FolderFiles:
    """The files below `folder` (`ui_dir`) as they are now. Links lead where they lead, as in Consul."""

    #: Its addresses have no version, and each request looks at the disk.
    version = ""
    is_loaded = False

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).absolute()
        self._recent: OrderedDict[str, tuple[tuple[int, ...], Content]] = OrderedDict()
        #: Of files that are kept, compressed ones too; at most `MEMORY_MAX_BYTES` after each call.
        self.bytes_in_memory = 0
        self._lock = Lock()

    def load(self) -> None:
        """Nothing: files are read one by one."""

    def find(self, name: str) -> Content | None:
        """A file; None if there is no regular file of this name. Raises `OSError`, `FileTooLarge`."""
        if not is_file_name(name):
            return None
        path = self._folder / name
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a fifo would wait for its writer
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                return None
            if about.st_size > FILE_MAX_BYTES:
                raise FileTooLarge(f"{path} has {about.st_size} bytes, more than the {FILE_MAX_BYTES} that are served")
            state = (about.st_ino, about.st_mtime_ns, about.st_size)
            known = self._known(name, state)
            if known is not None:
                return known
            with os.fdopen(fd, "rb", closefd=False) as file:
                found = content(name, file.read(FILE_MAX_BYTES))
        finally:
            os.close(fd)
        self._keep(name, state, found)
        return found

    def _known(self, name: str, state: tuple[int, ...]) -> Content | None:
        with self._lock:
            known = self._recent.get(name)
            if known is None or known[0] != state:
                return None
            self._recent.move_to_end(name)
            return known[1]

    def _keep(self, name: str, state: tuple[int, ...], found: Content) -> None:
        with self._lock:
            old = self._recent.pop(name, None)
            self._recent[name] = (state, found)
            self.bytes_in_memory += found.size - (old[1].size if old else 0)
            while self.bytes_in_memory > MEMORY_MAX_BYTES:
                _, (_, dropped) = self._recent.popitem(last=False)
                self.bytes_in_memory -= dropped.size
