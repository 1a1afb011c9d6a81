"""Reading without noting when: on a disk that does not answer the kernel's note of it waits, and so does the reader."""

import os
import time
from pathlib import Path

_TEN_YEARS_NS = 10 * 365 * 86_400 * 1_000_000_000


def open_quietly(path: Path, flags: int, mode: int = 0o600) -> int:
    """open(2) of a file of which no access is noted, where that is ours to choose. Raises OSError."""
    try:
        return os.open(path, flags | os.O_NOATIME, mode)
    except PermissionError:  # another user's file
        return os.open(path, flags, mode)


def read_quietly(path: Path) -> str:
    """The text of a small file. Raises OSError, or ValueError for what is not UTF-8."""
    with open(open_quietly(path, os.O_RDONLY | os.O_CLOEXEC), encoding="utf-8") as file:
        return file.read()


def settle_access_time(path: Path) -> None:
    """Set the access time so late that the kernel finds none worth noting (relatime), whoever opens the file. Raises OSError."""
    found = path.stat()
    os.utime(path, ns=(time.time_ns() + _TEN_YEARS_NS, found.st_mtime_ns))
