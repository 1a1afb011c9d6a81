"""The same system calls on two directories, of which one lies on tmpfs, and what can be seen of either afterwards.

Names come from a small world, so that calls meet each other's results. Times are compared by whether a call moved them: all are
set back before it. What a call may leave to each file system (sizes of directories, allocation) is not looked at.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.mount.acting import MEMBER, OTHER, OWNER, ROOT, User

LIBC = ctypes.CDLL(None, use_errno=True)
USERS = {"root": ROOT, "owner": OWNER, "member": MEMBER, "other": OTHER}
LONG_AGO = 1_000_000_000_000_000_000
XATTRS = ("user.one", "user.two", "trusted.one", "security.odd")
ROOTS_NAMES = ("a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "d/e/b")

Step = tuple[str, str, tuple[object, ...]]
"""Who, which call, with what."""


@dataclass
class World:
    """One of the two: its root and the files that a program has opened there, newest last."""

    root: int
    opened: list[int] = field(default_factory=list)

    def descriptor(self, index: int) -> int:
        """One of the open files; EBADF when there is none."""
        return self.opened[index % len(self.opened)] if self.opened else 1 << 20

    def close(self) -> None:
        for descriptor in self.opened:
            os.close(descriptor)
        self.opened.clear()


def _open(world: World, path: str, flags: int, mode: int) -> str:
    world.opened.append(os.open(path, flags | os.O_NONBLOCK, mode))
    return "opened"


def _close(world: World, index: int) -> str:
    descriptor = world.descriptor(index)
    if descriptor in world.opened:
        world.opened.remove(descriptor)
    os.close(descriptor)
    return "closed"


def _renameat2(_: World, source: str, target: str, flags: int) -> None:
    if LIBC.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _fallocate(world: World, index: int, mode: int, offset: int, length: int) -> None:
    arguments = (ctypes.c_int64(offset), ctypes.c_int64(length))
    if LIBC.fallocate(world.descriptor(index), mode, *arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _seek(world: World, index: int, offset: int, whence: int) -> int:
    descriptor = world.descriptor(index)
    if whence > os.SEEK_END and stat.S_ISDIR(os.fstat(descriptor).st_mode):
        return 0  # what holes a directory has is not said anywhere
    return os.lseek(descriptor, offset, whence)


def _sendfile(world: World, source: int, target: int, count: int, offset: int) -> int:
    one, other = world.descriptor(source), world.descriptor(target)
    if world.opened and os.path.sameopenfile(one, other):
        return 0  # what a file becomes that is sent into itself depends on what the kernel reads before it writes
    return os.sendfile(other, one, offset, count)


def _xattrs(_: World, path: str) -> list[str]:
    return sorted(os.listxattr(path, follow_symlinks=False))


CALLS: dict[str, Callable[..., object]] = {
    "open": _open,
    "close": _close,
    "mkdir": lambda _, path, mode: os.mkdir(path, mode),
    "mknod": lambda _, path, mode: os.mknod(path, mode, os.makedev(1, 3)),
    "symlink": lambda _, target, path: os.symlink(target, path),
    "link": lambda _, source, target: os.link(source, target, follow_symlinks=False),
    "unlink": lambda _, path: os.unlink(path),
    "rmdir": lambda _, path: os.rmdir(path),
    "rename": _renameat2,
    "chmod": lambda _, path, mode: os.chmod(path, mode),
    "chown": lambda _, path, uid, gid: os.chown(path, uid, gid, follow_symlinks=False),
    "utime": lambda _, path, times: os.utime(path, ns=times, follow_symlinks=False),
    "truncate": lambda _, path, size: os.truncate(path, size),
    "readlink": lambda _, path: os.readlink(path),
    "listdir": lambda _, path: sorted(os.listdir(path)),
    "access": lambda _, path, mode: os.access(path, mode, effective_ids=True),
    "stat": lambda _, path: stat.S_IFMT(os.stat(path).st_mode),
    "setxattr": lambda _, path, name, value, flags: os.setxattr(
        path, name, value, flags, follow_symlinks=False
    ),
    "getxattr": lambda _, path, name: os.getxattr(path, name, follow_symlinks=False),
    "removexattr": lambda _, path, name: os.removexattr(path, name, follow_symlinks=False),
    "listxattr": _xattrs,
    "read": lambda world, index, size, offset: os.pread(world.descriptor(index), size, offset),
    "write": lambda world, index, data, offset: os.pwrite(world.descriptor(index), data, offset),
    "append": lambda world, index, data: os.write(world.descriptor(index), data),
    "ftruncate": lambda world, index, size: os.ftruncate(world.descriptor(index), size),
    "fchmod": lambda world, index, mode: os.fchmod(world.descriptor(index), mode),
    "fchown": lambda world, index, uid, gid: os.fchown(world.descriptor(index), uid, gid),
    "futime": lambda world, index, times: os.utime(world.descriptor(index), ns=times),
    "fstat": lambda world, index: _seen(os.fstat(world.descriptor(index))),
    "fsync": lambda world, index: os.fsync(world.descriptor(index)),
    "seek": _seek,
    "fallocate": _fallocate,
    "copy": lambda world, source, target, count, at, to: os.copy_file_range(
        world.descriptor(source), world.descriptor(target), count, at, to
    ),
    "sendfile": _sendfile,
}

UNTOUCHED_BY = ("read", "copy", "sendfile")
"""Calls that read data: whether that moves the access time depends on what the kernel has in its pages."""


def do(world: World, step: Step) -> object:
    """Make one call as its user; its result, or the name of its errno."""
    who, name, arguments = step
    with acting_here(USERS[who], world.root):
        try:
            return CALLS[name](world, *arguments)
        except OSError as error:
            return errno.errorcode[error.errno or 0]


@contextmanager
def acting_here(user: User, root: int) -> Iterator[None]:
    """This process as another user, its directory `root`; back to root and to where it was on leaving."""
    before = os.open(".", os.O_PATH)
    os.fchdir(root)
    os.setgroups(user.groups)
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])
        os.fchdir(before)
        os.close(before)


def _seen(info: os.stat_result) -> tuple[object, ...]:
    size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
    return oct(info.st_mode), info.st_uid, info.st_gid, info.st_nlink, size, info.st_rdev


def walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All that is there with its attributes, which are asked for before anything is read or listed."""
    info = path.lstat()
    yield path, info
    if stat.S_ISDIR(info.st_mode):
        for name in sorted(os.listdir(path)):
            yield from walk(path / name)


class Seen:
    """What there is under one root, and when its change times were last looked at."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._infos = dict(walk(root))

    def set_back(self) -> None:
        """Make all times old but the change times, which cannot be set."""
        for path, info in self._infos.items():
            if (info.st_atime_ns, info.st_mtime_ns) != (LONG_AGO, LONG_AGO):
                os.utime(path, ns=(LONG_AGO, LONG_AGO), follow_symlinks=False)
        self._infos = {path: path.lstat() for path in self._infos}

    def look(self, *, accessed: bool) -> dict[str, object]:
        """The attributes of everything, and which times have moved since `set_back`."""
        before, self._infos = self._infos, dict(walk(self._root))
        seen: dict[str, object] = {}
        for path, info in self._infos.items():
            moved = {"mtime": info.st_mtime_ns != LONG_AGO}
            if path in before:
                moved["ctime"] = info.st_ctime_ns != before[path].st_ctime_ns
            if accessed:
                moved["atime"] = info.st_atime_ns != LONG_AGO
            seen[str(path.relative_to(self._root))] = (*_seen(info), moved)
        return seen

    def read(self) -> dict[str, object]:
        """The content and the extended attributes of everything."""
        return {
            str(path.relative_to(self._root)): (_content(path, info), _attributes(path))
            for path, info in self._infos.items()
        }


def difference(mine: dict[str, object], expected: dict[str, object]) -> str:
    """What differs, for a person; empty when nothing does."""
    return "\n".join(
        f"{name}:\n  the mount {mine.get(name)}\n  tmpfs     {expected.get(name)}"
        for name in sorted({*mine, *expected})
        if mine.get(name) != expected.get(name)
    )


def _content(path: Path, info: os.stat_result) -> object:
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path)
    return _data(path.read_bytes()) if stat.S_ISREG(info.st_mode) else None


def _data(data: bytes) -> list[tuple[int, bytes]]:
    """Runs of bytes, short enough to be read in a failure."""
    runs = [(len(part), part[:20]) for part in data.split(b"\0") if part]
    return [*runs, (len(data), b"")]


def _attributes(path: Path) -> list[tuple[str, bytes]]:
    names = os.listxattr(path, follow_symlinks=False)
    return sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
