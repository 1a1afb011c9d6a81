"""Sizes, names and kinds at their limits."""

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.mount.acting import outcome
from tests.mount.inside import mounted_inside, on
from tests.mount.test_refusals import opened

TIB = 1 << 40
LARGEST_FILE_BYTES = 16 * TIB
RW = os.O_RDWR | os.O_CREAT


def refused(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def test_a_file_is_written_at_its_very_end_and_not_past_it(folder: Path) -> None:
    path = folder / "file"
    opened(path, RW, lambda fd: os.pwrite(fd, b"last", LARGEST_FILE_BYTES - 4))
    assert path.stat().st_size == LARGEST_FILE_BYTES
    assert path.stat().st_blocks * 512 <= 1 << 20
    with path.open("r+b", buffering=0) as file:
        assert os.pread(file.fileno(), 100, LARGEST_FILE_BYTES - 8) == b"\0\0\0\0last"
        assert os.pread(file.fileno(), 100, LARGEST_FILE_BYTES) == b""
        assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == LARGEST_FILE_BYTES - 4096
        with refused(errno.EFBIG):
            os.pwrite(file.fileno(), b"x", LARGEST_FILE_BYTES)
        with refused(errno.EFBIG):
            os.ftruncate(file.fileno(), LARGEST_FILE_BYTES + 1)
        os.ftruncate(file.fileno(), 1)
        os.ftruncate(file.fileno(), LARGEST_FILE_BYTES)
        assert os.pread(file.fileno(), 8, LARGEST_FILE_BYTES - 8) == bytes(8)
    assert path.stat().st_size == LARGEST_FILE_BYTES


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 1 << 31, (1 << 32) + 1, TIB - 1, 5 * TIB + 17])
def test_any_size_is_kept_and_reads_zeros(folder: Path, size: int) -> None:
    path = folder / "file"
    path.touch()
    os.truncate(path, size)
    assert path.stat().st_size == size
    assert path.stat().st_blocks == 0
    opened(path, os.O_RDONLY, lambda fd: _assert_zeros(fd, size))


def _assert_zeros(descriptor: int, size: int) -> None:
    for offset in {0, size // 2, max(0, size - 5000)}:
        assert os.pread(descriptor, 10_000, offset) == bytes(min(10_000, size - offset))


def test_blocks_follow_what_is_written_and_given_back(folder: Path) -> None:
    path = folder / "file"
    path.write_bytes(os.urandom(1 << 20))
    assert path.stat().st_blocks * 512 >= 1 << 20
    os.truncate(path, 4096)
    assert 4096 <= path.stat().st_blocks * 512 <= 64 << 10
    os.truncate(path, 0)
    assert path.stat().st_blocks == 0
    assert path.stat().st_blksize >= 4096


def test_names_are_any_bytes_but_slash_and_nul(folder: Path) -> None:
    base = os.fsencode(folder)
    names = {bytes([value]) * length for value in range(1, 256) if value not in b"/." for length in (1, 255)}
    names |= {
        b"...",
        b".hidden",
        b" ",
        b"-rf",
        b"new\nline",
        "\u00e9".encode(),
        "e\u0301".encode(),
        b"CON",
        b"a:b\\c*?",
    }
    for name in names:
        with open(base + b"/" + name, "wb") as file:
            file.write(name)
    assert set(os.listdir(base)) == names
    for name in names:
        with open(base + b"/" + name, "rb") as file:
            assert file.read() == name


def test_names_that_differ_in_case_or_composition_are_different(folder: Path) -> None:
    names = ["file", "File", "FILE", "\u00e9", "e\u0301"]
    for number, name in enumerate(names):
        (folder / name).write_text(str(number))
    assert [(folder / name).read_text() for name in names] == ["0", "1", "2", "3", "4"]


def test_a_tree_deeper_than_a_path_can_say_is_walked_step_by_step(folder: Path) -> None:
    name, depth = "d" * 200, 30
    start = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(depth):
            os.mkdir(name)
            os.chdir(name)
        Path("file").write_bytes(b"deep")
        longest = "/".join([name] * 20)
        os.chdir(folder)
        assert stat.S_ISDIR(os.stat(longest).st_mode)
        assert outcome(lambda at: os.stat("/".join([name] * depth)), folder) == "ENAMETOOLONG"
        os.chdir(longest)
        assert Path("/".join([name] * (depth - 20)), "file").read_bytes() == b"deep"
    finally:
        os.chdir(start)
        os.close(start)
    shutil.rmtree(folder / name)
    assert os.listdir(folder) == []


def test_paths_up_to_path_max(folder: Path) -> None:
    """PATH_MAX counts the NUL at the end."""
    path = str(folder)
    while len(path) < 4095 - 260:
        path += "/" + "p" * 200
        os.mkdir(path)
    path += "/" + "p" * 100
    os.mkdir(path)
    longest = path + "/" + "f" * (4095 - len(path) - 1)
    assert len(longest) == 4095
    Path(longest).write_bytes(b"far")
    assert Path(longest).read_bytes() == b"far"
    with refused(errno.ENAMETOOLONG):
        os.stat(longest + "f")


def test_listings_tell_the_kind_of_every_entry(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "directory").mkdir()
    os.symlink("file", folder / "link")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)
    os.mknod(folder / "character", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(folder / "block", stat.S_IFBLK | 0o600, os.makedev(7, 0xABCDE))
    with os.scandir(folder) as entries:
        found = {
            entry.name: (
                entry.is_file(follow_symlinks=False),
                entry.is_dir(),
                entry.is_symlink(),
                entry.inode(),
            )
            for entry in entries
        }
    for name, (file, directory, link, inode) in found.items():
        info = (folder / name).lstat()
        kinds = (
            stat.S_ISREG(info.st_mode),
            stat.S_ISDIR(info.st_mode),
            stat.S_ISLNK(info.st_mode),
            info.st_ino,
        )
        assert (file, directory, link, inode) == kinds
    assert len(found) == 7
    block = (folder / "block").stat()
    assert stat.S_ISBLK(block.st_mode)
    assert block.st_rdev == os.makedev(7, 0xABCDE)


def test_a_fifo_carries_bytes_between_processes(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    child = os.fork()
    if child == 0:
        (folder / "fifo").write_bytes(b"through the fifo")
        os._exit(0)
    assert (folder / "fifo").read_bytes() == b"through the fifo"
    assert os.waitpid(child, 0)[1] == 0
    assert (folder / "fifo").stat().st_size == 0


def test_links_are_counted(folder: Path) -> None:
    (folder / "file").touch()
    for number in range(1000):
        os.link(folder / "file", folder / f"link-{number}")
    assert (folder / "file").stat().st_nlink == 1001
    os.rename(folder / "link-0", folder / "link-1")
    assert (folder / "file").stat().st_nlink == 1001, "two names of one file: rename(2) does nothing"
    (folder / "other").touch()
    os.rename(folder / "other", folder / "link-2")
    assert (folder / "file").stat().st_nlink == 1000


async def test_a_file_has_a_bound_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.volume.tree.namespace.MAX_LINKS", 3)
    async with mounted_inside(tmp_path) as inside:
        await on((inside.path / "file").touch)
        await on(os.link, inside.path / "file", inside.path / "second")
        await on(os.link, inside.path / "file", inside.path / "third")
        with refused(errno.EMLINK):
            await on(os.link, inside.path / "file", inside.path / "fourth")
        await on(os.unlink, inside.path / "file")
        await on(os.link, inside.path / "third", inside.path / "fourth")


def test_links_of_directories_follow_renames(folder: Path) -> None:
    (folder / "one" / "inner").mkdir(parents=True)
    (folder / "two" / "gone").mkdir(parents=True)
    assert ((folder / "one").stat().st_nlink, (folder / "two").stat().st_nlink) == (3, 3)
    os.rename(folder / "one" / "inner", folder / "two" / "gone")
    assert ((folder / "one").stat().st_nlink, (folder / "two").stat().st_nlink) == (2, 3)
    assert folder.stat().st_nlink == 4
    with os.scandir(folder) as entries:
        assert sorted(entry.name for entry in entries) == ["one", "two"]
    assert (folder / "two" / "gone" / "..").stat().st_ino == (folder / "two").stat().st_ino


def test_a_removed_directory_that_is_open_is_empty_and_takes_nothing(folder: Path) -> None:
    (folder / "inner").mkdir()
    descriptor = os.open(folder / "inner", os.O_RDONLY)
    try:
        os.rmdir(folder / "inner")
        assert os.listdir(descriptor) == []
        assert os.fstat(descriptor).st_nlink == 0
        with refused(errno.ENOENT):
            os.open("new", RW, dir_fd=descriptor)
        with refused(errno.ENOENT):
            os.mkdir("new", dir_fd=descriptor)
    finally:
        os.close(descriptor)


def test_syncing_of_files_directories_and_all(folder: Path) -> None:
    opened(folder / "file", RW, lambda fd: (os.write(fd, b"x"), os.fsync(fd), os.fdatasync(fd)))
    opened(folder, os.O_RDONLY, os.fsync)
    os.spawnlp(os.P_WAIT, "sync", "sync", "-f", str(folder))
    assert (folder / "file").read_bytes() == b"x"


def test_two_appending_processes_lose_nothing(folder: Path) -> None:
    path, lines = folder / "log", 300
    children = []
    for word in (b"one\n", b"two\n"):
        child = os.fork()
        if child == 0:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            for _ in range(lines):
                os.write(descriptor, word)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    found = path.read_bytes().splitlines()
    assert (found.count(b"one"), found.count(b"two"), len(found)) == (lines, lines, 2 * lines)


def test_only_one_of_many_creates_with_o_excl(folder: Path) -> None:
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os._exit(0 if outcome(lambda at: opened(at / "lock", RW | os.O_EXCL), folder) == "ok" else 1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(codes) == [0] + [1] * 7
