"""What a file system has to refuse, and with which errno."""

import ctypes
import errno
import mmap
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.acting import close, outcome

Action = Callable[[Path], object]
LONG = "n" * 256
LIBC = ctypes.CDLL(None, use_errno=True)
READ, WRITE, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


def renameat2(source: Path, target: Path, flags: int) -> None:
    if LIBC.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def opened(path: Path, flags: int, use: Callable[[int], object] = lambda descriptor: None) -> None:
    """Open, use and close."""
    descriptor = os.open(path, flags)
    try:
        use(descriptor)
    finally:
        os.close(descriptor)


@pytest.fixture
def place(folder: Path) -> Path:
    """A file, a directory that has something, an empty one, symlinks to each and to nothing, a loop, and a fifo."""
    (folder / "file").write_bytes(b"content")
    (folder / "full" / "inner").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name, target in (("to-file", "file"), ("to-full", "full"), ("dangling", "nowhere")):
        os.symlink(target, folder / name)
    os.symlink("loop-2", folder / "loop")
    os.symlink("loop", folder / "loop-2")
    os.mkfifo(folder / "fifo")
    return folder


MAKING: dict[str, Callable[[Path], object]] = {
    "create": lambda path: close(os.open(path, os.O_CREAT | os.O_EXCL | RW)),
    "mkdir": os.mkdir,
    "mkfifo": os.mkfifo,
    "mknod": lambda path: os.mknod(path, stat.S_IFREG | 0o600),
    "symlink": lambda path: os.symlink("x", path),
    "link": lambda path: os.link(path.parent.parent / path.parent.name / "file", path),
}

PATHS = {
    LONG: "ENAMETOOLONG",
    "file": "EEXIST",
    "full": "EEXIST",
    "dangling": "EEXIST",
    "loop": "EEXIST",
    "missing/new": "ENOENT",
    "file/new": "ENOTDIR",
    "dangling/new": "ENOENT",
    "loop/new": "ELOOP",
    "a/" * 2048: "ENAMETOOLONG",
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:12].replace("/", ":"))
@pytest.mark.parametrize("name", [name for name in MAKING if name != "link"])
def test_something_new_needs_a_free_name_in_a_directory(place: Path, name: str, path: str) -> None:
    action = MAKING[name]
    assert outcome(lambda at: action(at / path), place) == PATHS[path]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:12].replace("/", ":"))
def test_a_link_needs_the_same(place: Path, path: str) -> None:
    assert outcome(lambda at: os.link(at / "fifo", at / path), place) == PATHS[path]


CASES: dict[str, tuple[Action, str]] = {
    "open missing": (lambda at: opened(at / "missing", READ), "ENOENT"),
    "open below a file": (lambda at: opened(at / "file" / "x", READ), "ENOTDIR"),
    "open a loop": (lambda at: opened(at / "loop", READ), "ELOOP"),
    "open a link with O_NOFOLLOW": (lambda at: opened(at / "to-file", READ | os.O_NOFOLLOW), "ELOOP"),
    "open a link with O_NOFOLLOW and O_CREAT": (
        lambda at: opened(at / "to-file", RW | os.O_CREAT | os.O_NOFOLLOW),
        "ELOOP",
    ),
    "open a dangling link": (lambda at: opened(at / "dangling", READ), "ENOENT"),
    "open a directory to write": (lambda at: opened(at / "empty", RW), "EISDIR"),
    "open a directory with O_CREAT": (lambda at: opened(at / "empty", READ | os.O_CREAT), "EISDIR"),
    "open a directory with O_TRUNC": (lambda at: opened(at / "empty", WRITE | os.O_TRUNC), "EISDIR"),
    "open a file as a directory": (lambda at: opened(at / "file", READ | os.O_DIRECTORY), "ENOTDIR"),
    "open a fifo nobody reads": (lambda at: opened(at / "fifo", WRITE | os.O_NONBLOCK), "ENXIO"),
    "open a file with a slash behind it": (lambda at: close(os.open(f"{at}/file/", READ)), "ENOTDIR"),
    "create with a slash behind it": (lambda at: close(os.open(f"{at}/new/", RW | os.O_CREAT)), "EISDIR"),
    "O_TMPFILE": (lambda at: opened(at, RW | os.O_TMPFILE), "ENOTSUP"),
    "read a directory": (lambda at: opened(at / "empty", READ, lambda fd: os.read(fd, 1)), "EISDIR"),
    "read what is open to write": (lambda at: opened(at / "file", WRITE, lambda fd: os.read(fd, 1)), "EBADF"),
    "write what is open to read": (
        lambda at: opened(at / "file", READ, lambda fd: os.write(fd, b"1")),
        "EBADF",
    ),
    "ftruncate what is open to read": (
        lambda at: opened(at / "file", READ, lambda fd: os.ftruncate(fd, 1)),
        "EINVAL",
    ),
    "seek before the beginning": (
        lambda at: opened(at / "file", READ, lambda fd: os.lseek(fd, -1, 0)),
        "EINVAL",
    ),
    "seek to data past the end": (
        lambda at: opened(at / "file", READ, lambda fd: os.lseek(fd, 7, os.SEEK_DATA)),
        "ENXIO",
    ),
    "seek to data before the beginning": (
        lambda at: opened(at / "file", READ, lambda fd: os.lseek(fd, -5000, os.SEEK_DATA)),
        "ENXIO",
    ),
    "seek to a hole before the beginning": (
        lambda at: opened(at / "file", READ, lambda fd: os.lseek(fd, -1, os.SEEK_HOLE)),
        "ENXIO",
    ),
    "write at a negative offset": (
        lambda at: opened(at / "file", RW, lambda fd: os.pwrite(fd, b"x", -1)),
        "EINVAL",
    ),
    "truncate a directory": (lambda at: os.truncate(at / "empty", 0), "EISDIR"),
    "truncate below zero": (lambda at: os.truncate(at / "file", -1), "EINVAL"),
    "truncate a fifo": (lambda at: os.truncate(at / "fifo", 0), "EINVAL"),
    "truncate missing": (lambda at: os.truncate(at / "missing", 0), "ENOENT"),
    "fallocate nothing": (
        lambda at: opened(at / "file", RW, lambda fd: os.posix_fallocate(fd, 0, 0)),
        "EINVAL",
    ),
    "unlink a directory": (lambda at: os.unlink(at / "empty"), "EISDIR"),
    "unlink missing": (lambda at: os.unlink(at / "missing"), "ENOENT"),
    "unlink a file with a slash behind it": (lambda at: os.unlink(f"{at}/file/"), "ENOTDIR"),
    "rmdir a file": (lambda at: os.rmdir(at / "file"), "ENOTDIR"),
    "rmdir a link to a directory": (lambda at: os.rmdir(at / "to-full"), "ENOTDIR"),
    "rmdir what is not empty": (lambda at: os.rmdir(at / "full"), "ENOTEMPTY"),
    "rmdir dot": (lambda at: os.rmdir(f"{at}/empty/."), "EINVAL"),
    "rmdir dot dot": (lambda at: os.rmdir(f"{at}/full/inner/.."), "ENOTEMPTY"),
    "rename missing": (lambda at: os.rename(at / "missing", at / "new"), "ENOENT"),
    "rename to a long name": (lambda at: os.rename(at / "file", at / LONG), "ENAMETOOLONG"),
    "rename below a file": (lambda at: os.rename(at / "fifo", at / "file" / "x"), "ENOTDIR"),
    "rename a file over a directory": (lambda at: os.rename(at / "file", at / "empty"), "EISDIR"),
    "rename a directory over a file": (lambda at: os.rename(at / "empty", at / "file"), "ENOTDIR"),
    "rename a directory over a full one": (lambda at: os.rename(at / "empty", at / "full"), "ENOTEMPTY"),
    "rename a directory into itself": (
        lambda at: os.rename(at / "full", at / "full" / "inner" / "x"),
        "EINVAL",
    ),
    "rename a directory over its parent": (
        lambda at: os.rename(at / "full" / "inner", at / "full"),
        "ENOTEMPTY",
    ),
    "rename dot": (lambda at: os.rename(f"{at}/empty/.", at / "new"), "EBUSY"),
    "rename a file with a slash behind it": (lambda at: os.rename(f"{at}/file/", at / "new"), "ENOTDIR"),
    "exchange with a directory inside": (
        lambda at: renameat2(at / "full", at / "full" / "inner", RENAME_EXCHANGE),
        "EINVAL",
    ),
    "exchange with a directory above": (
        lambda at: renameat2(at / "full" / "inner", at / "full", RENAME_EXCHANGE),
        "EINVAL",
    ),
    "noreplace and exchange": (
        lambda at: renameat2(at / "file", at / "fifo", RENAME_NOREPLACE | RENAME_EXCHANGE),
        "EINVAL",
    ),
    "noreplace a link to nothing": (
        lambda at: renameat2(at / "file", at / "dangling", RENAME_NOREPLACE),
        "EEXIST",
    ),
    "link a directory": (lambda at: os.link(at / "empty", at / "new"), "EPERM"),
    "link missing": (lambda at: os.link(at / "missing", at / "new"), "ENOENT"),
    "rename to another file system": (lambda at: os.rename(at / "file", "/dev/shm/odxfs-nothing"), "EXDEV"),
    "link to another file system": (lambda at: os.link(at / "file", "/dev/shm/odxfs-nothing"), "EXDEV"),
    "symlink to nothing": (lambda at: os.symlink("", at / "new"), "ENOENT"),
    "symlink too long": (lambda at: os.symlink("x" * 4096, at / "new"), "ENAMETOOLONG"),
    "readlink a file": (lambda at: os.readlink(at / "file"), "EINVAL"),
    "list a file": (lambda at: os.listdir(at / "file"), "ENOTDIR"),
    "list missing": (lambda at: os.listdir(at / "missing"), "ENOENT"),
    "access missing": (lambda at: os.chmod(at / "missing", 0o600), "ENOENT"),
    "chmod a dangling link": (lambda at: os.chmod(at / "dangling", 0o600), "ENOENT"),
    "xattr of no namespace": (lambda at: os.setxattr(at / "file", "plain", b""), "ENOTSUP"),
    "xattr with a long name": (lambda at: os.setxattr(at / "file", "user." + LONG, b""), "ERANGE"),
    "xattr with an empty name": (lambda at: os.setxattr(at / "file", "user.", b""), "EINVAL"),
    "xattr with a big value": (lambda at: os.setxattr(at / "file", "user.x", bytes(65537)), "E2BIG"),
    "xattr missing": (lambda at: os.getxattr(at / "file", "user.none"), "ENODATA"),
    "xattr removed that is missing": (lambda at: os.removexattr(at / "file", "user.none"), "ENODATA"),
    "user xattr of a link": (
        lambda at: os.setxattr(at / "to-file", "user.x", b"", follow_symlinks=False),
        "EPERM",
    ),
    "user xattr of a fifo": (lambda at: os.setxattr(at / "fifo", "user.x", b""), "EPERM"),
    "POSIX ACL": (
        lambda at: os.setxattr(at / "file", "system.posix_acl_access", bytes.fromhex("02000000")),
        "ENOTSUP",
    ),
    "mapping what is open to write": (
        lambda at: opened(at / "file", WRITE, lambda fd: mmap.mmap(fd, 7, prot=mmap.PROT_READ)),
        "EACCES",
    ),
    "writable mapping of what is open to read": (
        lambda at: opened(at / "file", READ, lambda fd: mmap.mmap(fd, 7)),
        "EACCES",
    ),
    "O_DIRECT from a crooked place": (
        lambda at: opened(at / "file", READ | os.O_DIRECT, lambda fd: os.lseek(fd, -5, os.SEEK_SET)),
        "EINVAL",
    ),
    "a path too long": (lambda at: os.stat("/" + "x/" * 2048), "ENAMETOOLONG"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(place: Path, name: str) -> None:
    action, expected = CASES[name]
    before = sorted(os.listdir(place))
    assert outcome(action, place) == expected
    assert sorted(os.listdir(place)) == before
    assert (place / "file").read_bytes() == b"content"


def test_a_running_program_is_not_written(place: Path) -> None:
    program = place / "program"
    shutil.copy("/bin/sleep", program)
    child = os.posix_spawn(program, [str(program), "60"], {})
    try:
        _until_it_runs(child, program)
        assert outcome(lambda at: opened(at / "program", WRITE), place) == "ETXTBSY"
        assert outcome(lambda at: os.truncate(at / "program", 0), place) == "ETXTBSY"
        program.unlink()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def _until_it_runs(child: int, program: Path) -> None:
    """posix_spawn(3) returns when the program runs, or could not be run."""
    assert Path(f"/proc/{child}/exe").resolve() == program


def test_what_is_open_to_write_is_not_run(place: Path) -> None:
    program = place / "program"
    shutil.copy("/bin/true", program)
    with program.open("r+b"), pytest.raises(OSError, check=lambda error: error.errno == errno.ETXTBSY):
        os.posix_spawn(program, [str(program)], {})


def test_forty_links_in_a_row_are_followed_and_one_more_is_not(place: Path) -> None:
    os.symlink("file", place / "link-1")
    for number in range(2, 42):
        os.symlink(f"link-{number - 1}", place / f"link-{number}")
    assert (place / "link-40").read_bytes() == b"content"
    assert outcome(lambda at: (at / "link-41").read_bytes(), place) == "ELOOP"
