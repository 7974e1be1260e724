"""The file of a unix socket: what an earlier agent left there, its mode, and whom it belongs to."""

import os
import shutil
from pathlib import Path

from consulpy.errors import ConfigError


def remove_stale(path: str) -> None:
    """Remove a socket that an agent left behind when a signal ended it."""
    place = Path(path)
    if place.is_socket():
        place.unlink()


def socket_mode(text: str) -> int:
    """The mode in octal digits; empty: what the umask leaves of 0777. Raises `ConfigError`."""
    if not text:
        mask = os.umask(0)
        os.umask(mask)
        return 0o777 & ~mask
    try:
        return int(text, 8)
    except ValueError:
        raise ConfigError(f"unix_sockets.mode: octal digits such as 0660 are expected, not {text!r}") from None


def give(path: str, user: str, group: str) -> None:
    """Change the owner; empty names change nothing. Raises `ConfigError`."""
    try:
        for option, wanted in (("user", user), ("group", group)):
            if wanted:
                shutil.chown(path, **{option: int(wanted) if wanted.isdecimal() else wanted})
    except (LookupError, OSError) as error:
        raise ConfigError(f"unix_sockets: cannot give {path} to {user or '-'}:{group or '-'}: {error}") from None
