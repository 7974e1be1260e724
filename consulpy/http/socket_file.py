"""Files of unix sockets: stale ones, mode and owner."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consulpy.errors import ConfigError


def remove_stale(path: str) -> None:
    """Remove the socket of an agent that was killed."""
    place = Path(path)
    if place.is_socket():
        place.unlink()


def socket_mode(text: str) -> int:
    """The mode that octal digits give; empty: 0777 less the umask. Raises `ConfigError`."""
    if not text:
        mask = os.umask(0o077)  # in the meantime a thread's new file is not too open
        os.umask(mask)
        return 0o777 & ~mask
    try:
        return int(text, 8)
    except ValueError:
        raise ConfigError(f"unix_sockets.mode: octal digits such as 0660 are expected, not {text!r}") from None


@contextmanager
def created_private() -> Iterator[None]:
    """While this is entered group and others get no rights to new files, whatever the umask; threads see that too."""
    mask = os.umask(0o077)
    os.umask(mask | 0o077)
    try:
        yield
    finally:
        os.umask(mask)


def set_access(path: str, user: str, group: str, mode: int) -> None:
    """Set owner and group, by name or number (empty leaves them), then the mode. Raises `ConfigError`."""
    try:
        for option, wanted in (("user", user), ("group", group)):
            if wanted:
                shutil.chown(path, **{option: int(wanted) if wanted.isdecimal() else wanted})
        Path(path).chmod(mode)  # last: what a group may do is not for that of the process
    except (LookupError, OSError) as error:
        raise ConfigError(f"unix_sockets: cannot give {path} to {user or '-'}:{group or '-'}: {error}") from None
