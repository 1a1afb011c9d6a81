"""What programs may expect of a file system, seen through the kernel."""

import ctypes
import errno
import mmap
import os
import socket
import stat
from pathlib import Path

import pytest

from tests.mount.command import MountedPool

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4


def renameat2(source: Path, target: Path, flags: int) -> None:
    if LIBC.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def refused(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def test_written_bytes_are_read_back(folder: Path) -> None:
    data = os.urandom(3_000_001)
    (folder / "file").write_bytes(data)
    assert (folder / "file").read_bytes() == data
    assert (folder / "file").stat().st_size == len(data)


def test_a_write_in_the_middle_keeps_what_is_around_it(folder: Path) -> None:
    (folder / "file").write_bytes(b"a" * 20_000)
    with (folder / "file").open("r+b", buffering=0) as file:
        file.seek(5_000)
        file.write(b"b" * 7)
    assert (folder / "file").read_bytes() == b"a" * 5_000 + b"b" * 7 + b"a" * 14_993


def test_opening_with_o_trunc_empties_the_file(folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * 10_000)
    (folder / "file").write_bytes(b"new")
    assert (folder / "file").read_bytes() == b"new"


def test_o_append_writes_of_two_descriptors_do_not_overwrite_each_other(folder: Path) -> None:
    with (folder / "log").open("ab", buffering=0) as one, (folder / "log").open("ab", buffering=0) as two:
        for _ in range(10):
            one.write(b"one\n")
            two.write(b"two\n")
    assert (folder / "log").read_bytes() == b"one\ntwo\n" * 10


def test_o_excl_refuses_a_name_that_exists(folder: Path) -> None:
    (folder / "file").touch()
    with refused(errno.EEXIST):
        os.open(folder / "file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def test_truncating_down_and_up_reads_zeros_in_between(folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * 10_000)
    os.truncate(folder / "file", 100)
    os.truncate(folder / "file", 9_000)
    assert (folder / "file").read_bytes() == b"x" * 100 + bytes(8_900)


def test_a_sparse_file_takes_little_space_and_reads_zeros(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.seek(5 * 1024**3)
        file.write(b"end")
    info = (folder / "sparse").stat()
    assert info.st_size == 5 * 1024**3 + 3
    assert info.st_blocks * 512 <= 64 * 1024
    with (folder / "sparse").open("rb") as file:
        file.seek(1024**3)
        assert file.read(100_000) == bytes(100_000)
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"end"


def test_an_unlinked_file_lives_until_its_last_close(folder: Path) -> None:
    with (folder / "file").open("w+b", buffering=0) as file:
        file.write(b"before")
        (folder / "file").unlink()
        assert not (folder / "file").exists()
        assert os.fstat(file.fileno()).st_nlink == 0
        file.write(b" and after")
        file.seek(0)
        assert file.read() == b"before and after"


def test_a_replaced_open_file_keeps_its_bytes(folder: Path) -> None:
    (folder / "old").write_bytes(b"old")
    (folder / "new").write_bytes(b"new")
    with (folder / "old").open("rb", buffering=0) as file:
        os.rename(folder / "new", folder / "old")
        assert file.read() == b"old"
    assert (folder / "old").read_bytes() == b"new"
    assert sorted(os.listdir(folder)) == ["old"]


def test_rename_noreplace_keeps_both_names(folder: Path) -> None:
    (folder / "one").write_bytes(b"1")
    (folder / "two").write_bytes(b"2")
    with refused(errno.EEXIST):
        renameat2(folder / "one", folder / "two", RENAME_NOREPLACE)
    renameat2(folder / "one", folder / "three", RENAME_NOREPLACE)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"two": b"2", "three": b"1"}


def test_rename_exchange_swaps_a_file_and_a_directory(folder: Path) -> None:
    (folder / "file").write_bytes(b"content")
    (folder / "directory").mkdir()
    (folder / "directory" / "inside").touch()
    renameat2(folder / "file", folder / "directory", RENAME_EXCHANGE)
    assert (folder / "directory").read_bytes() == b"content"
    assert os.listdir(folder / "file") == ["inside"]
    with refused(errno.ENOENT):
        renameat2(folder / "file", folder / "missing", RENAME_EXCHANGE)


def test_rename_refuses_what_it_does_not_know(folder: Path) -> None:
    (folder / "file").touch()
    with refused(errno.EINVAL):
        renameat2(folder / "file", folder / "other", RENAME_WHITEOUT)


def test_a_directory_cannot_move_into_itself(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    with refused(errno.EINVAL):
        os.rename(folder / "a", folder / "a" / "b" / "c")


def test_hard_links_are_one_file(folder: Path) -> None:
    (folder / "one").write_bytes(b"shared")
    os.link(folder / "one", folder / "two")
    assert (folder / "one").stat().st_ino == (folder / "two").stat().st_ino
    assert (folder / "one").stat().st_nlink == 2
    (folder / "two").write_bytes(b"changed")
    assert (folder / "one").read_bytes() == b"changed"
    (folder / "one").unlink()
    assert (folder / "two").stat().st_nlink == 1
    assert (folder / "two").read_bytes() == b"changed"


def test_symlinks_keep_their_target_to_the_byte(folder: Path) -> None:
    target = "../somewhere/" + "x" * 900
    os.symlink(target, folder / "link")
    assert os.readlink(folder / "link") == target
    assert (folder / "link").lstat().st_size == len(target)


def test_special_files_keep_their_kind_and_device(folder: Path) -> None:
    os.mkfifo(folder / "fifo", 0o640)
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listener:
        descriptor = os.open(folder, os.O_PATH)
        listener.bind(f"/proc/self/fd/{descriptor}/socket")
        os.close(descriptor)
    assert stat.S_ISFIFO((folder / "fifo").stat().st_mode)
    assert stat.S_ISSOCK((folder / "socket").stat().st_mode)
    assert (folder / "null").stat().st_rdev == os.makedev(1, 3)


def test_times_are_kept_to_the_nanosecond(folder: Path) -> None:
    (folder / "file").touch()
    os.utime(folder / "file", ns=(1_111_111_111_123_456_789, 1_222_222_222_987_654_321))
    info = (folder / "file").stat()
    assert (info.st_atime_ns, info.st_mtime_ns) == (1_111_111_111_123_456_789, 1_222_222_222_987_654_321)


def test_writing_moves_the_modification_time(folder: Path) -> None:
    (folder / "file").write_bytes(b"one")
    os.utime(folder / "file", ns=(0, 0))
    (folder / "file").write_bytes(b"two")
    assert (folder / "file").stat().st_mtime_ns > 1_600_000_000 * 10**9


def test_modes_and_owners(folder: Path) -> None:
    (folder / "file").touch()
    os.chmod(folder / "file", 0o4750)
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o4750
    os.chown(folder / "file", 1234, 5678)
    info = (folder / "file").stat()
    assert (info.st_uid, info.st_gid) == (1234, 5678)
    assert not info.st_mode & stat.S_ISUID


def test_a_setgid_directory_hands_its_group_on(folder: Path) -> None:
    os.chown(folder, 0, 4321)
    os.chmod(folder, 0o2775)
    (folder / "file").touch()
    (folder / "inner").mkdir()
    assert (folder / "file").stat().st_gid == 4321
    assert (folder / "inner").stat().st_gid == 4321
    assert (folder / "inner").stat().st_mode & stat.S_ISGID


def test_extended_attributes(folder: Path) -> None:
    (folder / "file").touch()
    os.setxattr(folder / "file", "user.one", b"1" * 60_000)
    os.setxattr(folder / "file", "user.empty", b"")
    os.setxattr(folder / "file", "trusted.root", b"r", os.XATTR_CREATE)
    with refused(errno.EEXIST):
        os.setxattr(folder / "file", "user.one", b"2", os.XATTR_CREATE)
    with refused(errno.ENODATA):
        os.setxattr(folder / "file", "user.none", b"2", os.XATTR_REPLACE)
    assert sorted(os.listxattr(folder / "file")) == ["trusted.root", "user.empty", "user.one"]
    assert os.getxattr(folder / "file", "user.one") == b"1" * 60_000
    assert os.getxattr(folder / "file", "user.empty") == b""
    os.removexattr(folder / "file", "user.one")
    with refused(errno.ENODATA):
        os.getxattr(folder / "file", "user.one")


def test_a_shared_mapping_reads_and_writes_the_file(folder: Path) -> None:
    (folder / "file").write_bytes(bytes(20_000))
    with (folder / "file").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[5_000:5_004] = b"mmap"
        mapping.flush()
        assert (folder / "file").read_bytes()[4_999:5_005] == b"\0mmap\0"


def test_a_large_directory_lists_every_name_once_while_it_shrinks(folder: Path) -> None:
    names = {f"entry-{number:04}" for number in range(1_500)}
    for name in names:
        (folder / name).touch()
    assert set(os.listdir(folder)) == names
    seen = []
    with os.scandir(folder) as entries:
        for entry in entries:
            seen.append(entry.name)
            os.unlink(entry.path)
    assert sorted(seen) == sorted(names)
    assert os.listdir(folder) == []


def test_directories_count_their_subdirectories(folder: Path) -> None:
    before = folder.stat().st_nlink
    (folder / "inner").mkdir()
    assert folder.stat().st_nlink == before + 1
    with refused(errno.ENOTEMPTY):
        os.rmdir(folder)
    (folder / "inner").rmdir()
    assert folder.stat().st_nlink == before


def test_names_are_bytes_up_to_255(folder: Path) -> None:
    name = os.fsencode(folder) + b"/" + b"\xff\xfe caf\xc3\xa9 " + b"n" * 244
    with open(name, "wb") as file:
        file.write(b"found")
    assert os.listdir(os.fsencode(folder)) == [os.path.basename(name)]
    with refused(errno.ENAMETOOLONG):
        os.mkdir(name + b"nnnn")


def test_o_direct_and_o_sync(folder: Path) -> None:
    with mmap.mmap(-1, 8192) as buffer:
        buffer.write(b"d" * 8192)
        descriptor = os.open(folder / "file", os.O_CREAT | os.O_RDWR | os.O_DIRECT | os.O_SYNC)
        try:
            assert os.pwrite(descriptor, buffer, 4096) == 8192
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    assert (folder / "file").read_bytes() == bytes(4096) + b"d" * 8192


def test_statvfs_tells_of_the_disk_below(pool: MountedPool) -> None:
    ours, below = os.statvfs(pool.mountpoint), os.statvfs(pool.directory)
    assert ours.f_namemax == 255
    assert 0 < ours.f_bavail * ours.f_frsize <= below.f_blocks * below.f_frsize


def test_permissions_are_the_kernels_to_check(folder: Path) -> None:
    (folder / "secret").write_bytes(b"secret")
    os.chmod(folder / "secret", 0o600)
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            (folder / "secret").read_bytes()
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
