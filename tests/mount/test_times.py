"""Which operation moves which time of the inode and of its directory (POSIX, "marked for update"), and what times can be set."""

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.acting import outcome
from tests.mount.test_refusals import RENAME_EXCHANGE, opened, renameat2

Action = Callable[[Path], object]
LONG_AGO = 1_000_000_000 * 10**9
READ, WRITE, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
A, M, C = "atime", "mtime", "ctime"
NOTHING: set[str] = set()
DATA, STATUS, NAMES = {M, C}, {C}, {M, C}

CASES: dict[str, tuple[Action, set[str], set[str]]] = {
    "stat": (lambda at: os.stat(at / "file"), NOTHING, NOTHING),
    "open": (lambda at: opened(at / "file", RW), NOTHING, NOTHING),
    "open what O_CREAT finds": (lambda at: opened(at / "file", RW | os.O_CREAT), NOTHING, NOTHING),
    "read": (lambda at: (at / "file").read_bytes(), {A}, NOTHING),
    "write": (lambda at: opened(at / "file", RW, lambda fd: os.write(fd, b"x")), DATA, NOTHING),
    "append": (
        lambda at: opened(at / "file", WRITE | os.O_APPEND, lambda fd: os.write(fd, b"x")),
        DATA,
        NOTHING,
    ),
    "write of nothing": (lambda at: opened(at / "file", RW, lambda fd: os.write(fd, b"")), NOTHING, NOTHING),
    "O_TRUNC": (lambda at: opened(at / "file", RW | os.O_TRUNC), DATA, NOTHING),
    "truncate": (lambda at: os.truncate(at / "file", 2), DATA, NOTHING),
    "truncate to more": (lambda at: os.truncate(at / "file", 20_000), DATA, NOTHING),
    "ftruncate to the same": (
        lambda at: opened(at / "file", RW, lambda fd: os.ftruncate(fd, 7)),
        DATA,
        NOTHING,
    ),
    "fallocate": (
        lambda at: opened(at / "file", RW, lambda fd: os.posix_fallocate(fd, 0, 9000)),
        DATA,
        NOTHING,
    ),
    "fallocate of what is there": (
        lambda at: opened(at / "file", RW, lambda fd: os.posix_fallocate(fd, 0, 5)),
        DATA,
        NOTHING,
    ),
    "copy_file_range": (lambda at: copy_range(at / "other", at / "file"), DATA, NOTHING),
    "write to a mapping": (lambda at: write_mapping(at / "file"), {A, M, C}, NOTHING),
    "chmod": (lambda at: os.chmod(at / "file", 0o600), STATUS, NOTHING),
    "chmod to the same": (lambda at: os.chmod(at / "file", 0o644), STATUS, NOTHING),
    "chown": (lambda at: os.chown(at / "file", 1, 1), STATUS, NOTHING),
    "setxattr": (lambda at: os.setxattr(at / "file", "user.x", b"1"), STATUS, NOTHING),
    "removexattr": (lambda at: os.removexattr(at / "file", "user.there"), STATUS, NOTHING),
    "utime now": (lambda at: os.utime(at / "file"), {A, M, C}, NOTHING),
    "link": (lambda at: os.link(at / "file", at / "new"), STATUS, NAMES),
    "unlink one of two": (lambda at: os.unlink(at / "second"), STATUS, NAMES),
    "rename": (lambda at: os.rename(at / "file", at / "new"), STATUS, NAMES),
    "create": (lambda at: opened(at / "new", RW | os.O_CREAT), NOTHING, NAMES),
    "mkdir": (lambda at: os.mkdir(at / "new"), NOTHING, NAMES),
    "symlink": (lambda at: os.symlink("x", at / "new"), NOTHING, NAMES),
    "mkfifo": (lambda at: os.mkfifo(at / "new"), NOTHING, NAMES),
    "unlink another": (lambda at: os.unlink(at / "other"), NOTHING, NAMES),
    "rmdir": (lambda at: os.rmdir(at / "inner"), NOTHING, NAMES),
    "exchange": (lambda at: renameat2(at / "file", at / "other", RENAME_EXCHANGE), STATUS, NAMES),
}


def copy_range(source: Path, target: Path) -> None:
    opened(source, READ, lambda one: opened(target, RW, lambda two: os.copy_file_range(one, two, 5)))


def write_mapping(path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[:3] = b"map"
        mapping.flush()


@pytest.fixture
def place(folder: Path) -> Path:
    """A file with two names, others beside it, and every time long ago; ctime cannot be set, and is now."""
    (folder / "file").write_bytes(b"content")
    (folder / "file").chmod(0o644)
    os.setxattr(folder / "file", "user.there", b"1")
    os.link(folder / "file", folder / "second")
    (folder / "other").write_bytes(b"other")
    (folder / "inner").mkdir()
    for path in (folder / "file", folder / "other", folder):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return folder


def times(descriptor: int) -> dict[str, int]:
    info = os.fstat(descriptor)
    return {A: info.st_atime_ns, M: info.st_mtime_ns, C: info.st_ctime_ns}


@pytest.mark.parametrize("name", CASES)
def test_times_move_as_posix_says(place: Path, name: str) -> None:
    action, file_moves, directory_moves = CASES[name]
    file, directory = os.open(place / "file", READ), os.open(place, READ)
    try:
        before = times(file), times(directory)
        wait_for_another_tick(place)
        action(place)
        after = times(file), times(directory)
    finally:
        os.close(file)
        os.close(directory)
    assert {key for key in (A, M, C) if before[0][key] != after[0][key]} == file_moves
    assert {key for key in (A, M, C) if before[1][key] != after[1][key]} - {A} == directory_moves
    for old, new in zip(before, after, strict=True):
        assert all(new[key] >= old[key] for key in new)


@pytest.mark.parametrize("name", ["inner", "link"])
def test_listing_and_reading_a_link_move_the_time_of_access_once(place: Path, name: str) -> None:
    """Once: the next time only after a change or a day (relatime)."""
    path = place / name
    os.symlink("file", place / "link")
    os.utime(path, ns=(LONG_AGO, LONG_AGO), follow_symlinks=False)
    read: Callable[[Path], object] = os.listdir if name == "inner" else os.readlink
    read(path)
    first = path.lstat()
    read(path)
    assert path.lstat() == first
    assert first.st_atime_ns > LONG_AGO
    assert first.st_mtime_ns == LONG_AGO


def wait_for_another_tick(place: Path) -> None:
    """Until the clock that files are stamped with has moved on: some systems stamp with a coarse one."""
    probe = place.parent / "probe"
    probe.touch()
    first = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == first:
        os.utime(probe)
    probe.unlink()


SECOND = 10**9
FIRST_TIME, LAST_TIME = -(2**63), 2**63 - 1
"""In ns: from 1677 to 2262."""

SETTABLE = [0, 1, -1, SECOND - 1, -SECOND - 1, -(2**31) * SECOND, 2**31 * SECOND + 5, 2**33 * SECOND]


@pytest.mark.parametrize("when", [*SETTABLE, FIRST_TIME + 1, LAST_TIME])
def test_times_are_64_bits_and_may_be_negative(folder: Path, when: int) -> None:
    path = folder / "file"
    path.touch()
    os.utime(path, ns=(when, when - 1))
    info = path.stat()
    assert (info.st_atime_ns, info.st_mtime_ns) == (when, when - 1)


@pytest.mark.parametrize("when", [FIRST_TIME - 1, LAST_TIME + 1])
def test_times_that_cannot_be_kept_are_refused(folder: Path, when: int) -> None:
    path = folder / "file"
    path.touch()
    before = path.stat()
    assert outcome(lambda at: os.utime(at, ns=(when, 0)), path) == "EINVAL"
    assert path.stat() == before


def test_utime_sets_one_time_and_leaves_or_takes_now_for_the_other(folder: Path) -> None:
    """touch(1) -a and -m use UTIME_OMIT and UTIME_NOW."""
    path = folder / "file"
    path.touch()
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    _touch("-a", path)
    info = path.stat()
    assert info.st_mtime_ns == LONG_AGO
    assert info.st_atime_ns > LONG_AGO
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    _touch("-m", path)
    info = path.stat()
    assert info.st_atime_ns == LONG_AGO
    assert abs(info.st_mtime_ns - time.time_ns()) < 3600 * 10**9


def _touch(option: str, path: Path) -> None:
    status = os.spawnlp(os.P_WAIT, "touch", "touch", option, str(path))
    assert status == 0


def test_times_and_owner_of_a_link_are_its_own(folder: Path) -> None:
    (folder / "file").touch()
    before = (folder / "file").stat()
    os.symlink("file", folder / "link")
    os.utime(folder / "link", ns=(5, 6), follow_symlinks=False)
    os.lchown(folder / "link", 11, 12)
    info = (folder / "link").lstat()
    assert (info.st_mtime_ns, info.st_uid, info.st_gid) == (6, 11, 12)
    after = (folder / "file").stat()
    assert (after.st_mtime_ns, after.st_uid, after.st_ctime_ns) == (before.st_mtime_ns, 0, before.st_ctime_ns)


def test_new_inodes_have_one_time_for_all(folder: Path) -> None:
    (folder / "inner").mkdir()
    info = (folder / "inner").stat()
    assert info.st_atime_ns == info.st_mtime_ns == info.st_ctime_ns
    assert abs(info.st_mtime_ns - time.time_ns()) < 3600 * 10**9
