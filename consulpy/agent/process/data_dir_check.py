"""Check of the data directory for `doctor`: free space of its file system, and whether it is writable."""

import errno
import os
from typing import Final

from consulpy.diagnosis.causes import Cause, Verdict

#: Less free space than this counts as none, in bytes and as a share; less than the other two is a warning.
FULL_BYTES: Final = 1 << 20
FULL_SHARE: Final = 0.01
LOW_BYTES: Final = 1 << 30
LOW_SHARE: Final = 0.05


def examine(directory: str) -> Verdict:
    """Whether `directory` has free space and is writable, tested with an unnamed file.

    Evidence: the figures if space is low, none if there is no space.
    """
    try:
        system = os.statvfs(directory)
    except OSError as error:
        text = f"The data directory {directory} can't be looked at: {error.strerror}."
        return Verdict(
            Cause.DATA_DIR_UNWRITABLE, text, fix=f"make data_dir {directory} exist and writable for the agent"
        )
    free, whole = system.f_bavail * system.f_frsize, max(system.f_blocks * system.f_frsize, 1)
    left = f"{free // 1024} KiB of {whole // 1024} KiB ({100 * free / whole:.1f} %) are left"
    free_it = f"free space on the file system of {directory}, or move data_dir to a larger one"
    why = _write_error(directory)
    if why in (errno.ENOSPC, errno.EDQUOT) or free < FULL_BYTES or free < FULL_SHARE * whole:
        text = f"The file system of the data directory {directory} is full: {left}."
        return Verdict(Cause.DISK_FULL, text, fix=free_it)
    if why:
        text = f"The data directory {directory} can't be written: {os.strerror(why)}; {left}."
        return Verdict(Cause.DATA_DIR_UNWRITABLE, text, fix=f"make data_dir {directory} writable (mount, owner, mode)")
    if free < LOW_BYTES and free < LOW_SHARE * whole:
        text = f"The file system of the data directory {directory} is nearly full: {left}."
        return Verdict(Cause.DISK_FULL, text, [left], free_it)
    return Verdict(Cause.HEALTHY, f"The data directory {directory} can be written: {left}.")


def _write_error(directory: str) -> int:
    """The system's error for a write of some blocks there; 0 for none."""
    try:
        file = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        unsupported = (errno.EOPNOTSUPP, errno.EISDIR)
        if error.errno in unsupported:
            return 0 if os.access(directory, os.W_OK | os.X_OK) else errno.EACCES
        return error.errno or errno.EIO
    try:
        os.write(file, bytes(4096))
    except OSError as error:
        return error.errno or errno.EIO
    finally:
        os.close(file)
    return 0
