"""Taking a FUSE mount away, and finding ours in the kernel's list. Plain blocking calls; used by the command line too."""

import ctypes
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

FILE_SYSTEM_TYPE = "fuse.odxfs"
"""How the kernel lists our mounts: FUSE with the subtype odxfs."""

MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
"""Flags of umount2(2)."""

MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One odxfs mount: `source` is the pool directory, `device` the major:minor that the kernel made up for it."""

    source: str
    mountpoint: str
    device: str


def list_mounts(mounts: Path = MOUNTS) -> list[MountEntry]:
    """The odxfs mounts of this machine, the youngest last. Reads the list only: a dead mount does not block it."""
    found = []
    # Neither splitlines nor text: the kernel escapes blank, tab, newline and backslash, and nothing else that may end a line.
    for line in filter(None, os.fsdecode(mounts.read_bytes()).split("\n")):
        place, _, system = line.partition(" - ")
        device, _, mountpoint = place.split(" ")[2:5]
        kind, source = system.split(" ")[:2]
        if kind == FILE_SYSTEM_TYPE:
            found.append(MountEntry(_unescape(source), _unescape(mountpoint), device))
    return found


def find_mount(mountpoint: str) -> MountEntry | None:
    """The youngest odxfs mount on `mountpoint`, or None. Safe where the mount is dead and stat(2) fails."""
    mounts = {entry.mountpoint: entry for entry in list_mounts()}
    return mounts.get(_real_path(mountpoint)) or mounts.get(os.path.realpath(mountpoint))


def unmount(mountpoint: str, *, lazy: bool = False) -> str | None:
    """Unmount; None when it worked, else the reason in words.

    `lazy` detaches the mount at once and lets it go when nobody uses it any more, which works for a dead one as well.
    """
    if os.geteuid() == 0:
        return _unmount_directly(mountpoint, lazy=lazy)
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", mountpoint]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if result.returncode == 0 else result.stderr.strip() or f"exit code {result.returncode}"


def _unmount_directly(mountpoint: str, *, lazy: bool) -> str | None:
    """umount2(2). No program is started, since a fork waits for the mount when this process has a file open on it."""
    library = ctypes.CDLL(None, use_errno=True)
    flags = UMOUNT_NOFOLLOW | (MNT_DETACH if lazy else 0)
    if library.umount2(os.fsencode(mountpoint), flags) == 0:
        return None
    return os.strerror(ctypes.get_errno())


def _real_path(path: str) -> str:
    """`path` without symlinks; the last component is not looked into, since a dead mount there answers no stat(2)."""
    absolute = os.path.abspath(path)
    parent, name = os.path.split(absolute)
    return os.path.join(os.path.realpath(parent), name) if name else absolute


def _unescape(field: str) -> str:
    """Undo the kernel's octal escapes of blanks and backslashes (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
