"""copy_file_range, fallocate, SEEK_DATA and SEEK_HOLE, as programs call them; and a mount without the extension."""

import ctypes
import errno
import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import trio

from odxfs.errors import StoreFailed
from odxfs.opens.share_modes import FILE_READ_DATA, FILE_SHARE_ALL, FILE_WRITE_DATA
from odxfs.types import LEAF_BYTES
from odxfs.volume import Volume
from tests.mount.command import MountedPool, mounted_pool, odxfs_ok, run
from tests.mount.inside import Inside, mounted_inside, on

KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 0x01, 0x02, 0x08, 0x10, 0x20
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
MIB, GIB = 1 << 20, 1 << 30


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    if LIBC.fallocate(descriptor, mode, offset, length):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def refused(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == number)


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@asynccontextmanager
async def opened_on(path: Path, flags: int = os.O_RDONLY) -> AsyncIterator[int]:
    """The same where this process serves the mount: on the trio thread it would wait for itself."""
    descriptor = await on(os.open, path, flags)
    try:
        yield descriptor
    finally:
        await on(os.close, descriptor)


def copy_all(source: int, offset: int, target: int, target_offset: int, length: int) -> int:
    """As a program does: call again for what is left, until nothing is copied any more."""
    done = 0
    while done < length:
        copied = os.copy_file_range(source, target, length - done, offset + done, target_offset + done)
        if copied == 0:
            break
        done += copied
    return done


def counted(pool: MountedPool) -> dict[str, int]:
    status: dict[str, Any] = odxfs_ok("status", pool.directory, "--json").json
    counter: dict[str, int] = status["offload"]["mechanisms"]["copy_file_range"]
    return counter


def runs_of(descriptor: int) -> list[tuple[int, int]]:
    """[start, end) of what is not a hole, as cp(1) finds it."""
    found, position = [], 0
    while True:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return found
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        found.append((start, position))


# -- copy_file_range ---------------------------------------------------------------------------------------------------


def test_cp_shares_extents(pool: MountedPool, folder: Path) -> None:
    data = os.urandom(3 * LEAF_BYTES + 12_345)
    (folder / "disk").write_bytes(data)
    before = counted(pool)
    run("cp", folder / "disk", folder / "copy")
    after = counted(pool)
    assert (folder / "copy").read_bytes() == data
    assert after["logical_bytes"] - before["logical_bytes"] == len(data)
    assert after["shared_bytes"] - before["shared_bytes"] == len(data) & ~4095


def test_a_copy_and_its_source_go_their_own_ways(folder: Path) -> None:
    data = os.urandom(LEAF_BYTES)
    (folder / "one").write_bytes(data)
    with opened(folder / "one", os.O_RDWR) as one, opened(folder / "two", os.O_RDWR | os.O_CREAT) as two:
        assert copy_all(one, 0, two, 0, len(data)) == len(data)
        os.pwrite(one, b"changed", 5_000)
        os.pwrite(two, b"elsewhere", 7_000_000)
        assert os.pread(two, len(data), 0) == data[:7_000_000] + b"elsewhere" + data[7_000_009:]
        assert os.pread(one, len(data), 0) == data[:5_000] + b"changed" + data[5_007:]


def test_ten_gibibytes_are_copied_without_moving_data(pool: MountedPool, folder: Path) -> None:
    with opened(folder / "disk", os.O_RDWR | os.O_CREAT) as disk:
        os.pwrite(disk, os.urandom(LEAF_BYTES), 0)
        size = LEAF_BYTES
        while size < 10 * GIB:
            assert copy_all(disk, 0, disk, size, min(size, 10 * GIB - size)) > 0
            size = os.fstat(disk).st_size
        os.pwrite(disk, b"the last bytes", 10 * GIB - 14)
    before, held = counted(pool), segments_bytes(pool)
    run("cp", folder / "disk", folder / "copy")
    after = counted(pool)
    assert after["shared_bytes"] - before["shared_bytes"] == 10 * GIB
    assert segments_bytes(pool) == held
    assert os.stat(folder / "copy").st_blocks * 512 == 10 * GIB
    with opened(folder / "disk") as disk, opened(folder / "copy") as copy:
        for offset in (0, 4 * GIB - MIB, 8 * GIB - 2 * LEAF_BYTES, 10 * GIB - MIB):
            assert os.pread(copy, MIB, offset) == os.pread(disk, MIB, offset)


def segments_bytes(pool: MountedPool) -> int:
    """Disk space of the pool's data."""
    os.sync()
    return sum(path.stat().st_blocks * 512 for path in (pool.directory / "segments").iterdir())


@pytest.mark.parametrize(
    ("offset", "target_offset", "length"),
    [
        (0, 0, 1),
        (1, 1, 4095),
        (100, 4196, 20_000),
        (4096, LEAF_BYTES - 4096, 3 * MIB),
        (7, 0, LEAF_BYTES),
        (0, 13, LEAF_BYTES + 5),
        (LEAF_BYTES - 1, 3, 2),
        (5_000, 30 * MIB + 5_000, 11 * MIB),
    ],
)
def test_any_range_is_copied_exactly(folder: Path, offset: int, target_offset: int, length: int) -> None:
    data, under = os.urandom(17 * MIB + 333), os.urandom(2 * MIB + 1)
    (folder / "source").write_bytes(data)
    (folder / "target").write_bytes(under)
    with opened(folder / "source") as source, opened(folder / "target", os.O_RDWR) as target:
        assert os.pread(target, 100 * MIB, 0) == under  # the kernel has pages of it
        assert copy_all(source, offset, target, target_offset, length) == length
        expected = bytearray(under.ljust(max(len(under), target_offset + length), b"\0"))
        expected[target_offset : target_offset + length] = data[offset : offset + length]
        assert os.pread(target, 100 * MIB, 0) == expected
        assert os.fstat(target).st_size == len(expected)


def test_a_copy_ends_at_the_source_s_end(folder: Path) -> None:
    (folder / "source").write_bytes(b"x" * 10_000)
    with opened(folder / "source") as source, opened(folder / "target", os.O_RDWR | os.O_CREAT) as target:
        assert os.copy_file_range(source, target, 50_000, 4_000, 0) == 6_000
        assert os.copy_file_range(source, target, 1, 10_000, 0) == 0
        assert os.fstat(target).st_size == 6_000


def test_holes_are_copied_as_holes(folder: Path) -> None:
    with opened(folder / "source", os.O_RDWR | os.O_CREAT) as source:
        os.pwrite(source, b"a" * 4096, 3 * LEAF_BYTES)
        os.ftruncate(source, 5 * LEAF_BYTES)
        with opened(folder / "target", os.O_RDWR | os.O_CREAT) as target:
            os.pwrite(target, b"b" * MIB, 0)
            assert copy_all(source, 0, target, 0, 5 * LEAF_BYTES) == 5 * LEAF_BYTES
            assert runs_of(target) == [(3 * LEAF_BYTES, 3 * LEAF_BYTES + 4096)]
            assert os.fstat(target).st_blocks == 8


def test_within_one_file_ranges_may_touch_but_not_overlap(folder: Path) -> None:
    data = os.urandom(2 * MIB)
    (folder / "file").write_bytes(data)
    with opened(folder / "file", os.O_RDWR) as file:
        with refused(errno.EINVAL):
            os.copy_file_range(file, file, MIB, 0, MIB - 4096)
        assert os.copy_file_range(file, file, MIB, 0, MIB) == MIB
        assert os.pread(file, 2 * MIB, 0) == data[:MIB] * 2


def test_what_mappings_have_changed_is_copied_and_what_they_show_is_the_copy(folder: Path) -> None:
    (folder / "source").write_bytes(b"s" * MIB)
    (folder / "target").write_bytes(b"t" * MIB)
    with (
        opened(folder / "source", os.O_RDWR) as source,
        opened(folder / "target", os.O_RDWR) as target,
        mmap.mmap(source, MIB) as seen,
        mmap.mmap(target, MIB) as shown,
    ):
        assert shown[70_000:70_004] == b"tttt"
        seen[70_000:70_004] = b"mmap"
        shown[90_000:90_004] = b"lost"
        assert copy_all(source, 0, target, 0, MIB) == MIB
        assert shown[70_000:70_004] == b"mmap"
        assert shown[90_000:90_004] == b"ssss"


def test_other_programs_share_extents_too(pool: MountedPool, folder: Path) -> None:
    run("qemu-img", "create", "-q", "-f", "qcow2", folder / "disk.qcow2", "64M")
    run("qemu-io", "-f", "qcow2", "-c", "write -P 7 3M 5M", folder / "disk.qcow2")
    before = counted(pool)
    run("cp", "--sparse=never", folder / "disk.qcow2", folder / "copy.qcow2")
    between = counted(pool)
    assert between["shared_bytes"] - before["shared_bytes"] >= 5 * MIB
    run("qemu-img", "compare", folder / "disk.qcow2", folder / "copy.qcow2")
    run("qemu-img", "convert", "-C", "-f", "raw", "-O", "raw", folder / "disk.qcow2", folder / "third.qcow2")
    assert counted(pool)["shared_bytes"] - between["shared_bytes"] >= 5 * MIB
    run("qemu-img", "check", folder / "third.qcow2")


def test_many_copies_at_a_time_are_all_answered(folder: Path) -> None:
    data = os.urandom(2 * LEAF_BYTES)
    (folder / "disk").write_bytes(data)
    commands = [["cp", folder / "disk", folder / f"copy{number}"] for number in range(24)]
    running = [subprocess.Popen(command) for command in commands]
    assert [process.wait(60) for process in running] == [0] * 24
    assert all((folder / f"copy{number}").read_bytes() == data for number in range(24))


# -- fallocate ---------------------------------------------------------------------------------------------------------


def test_fallocate_grows_the_file_unless_told_not_to(folder: Path) -> None:
    with opened(folder / "file", os.O_RDWR | os.O_CREAT) as file:
        os.pwrite(file, b"data", 0)
        fallocate(file, KEEP_SIZE, 0, MIB)
        assert os.fstat(file).st_size == 4
        fallocate(file, 0, 1_000, MIB)
        assert os.fstat(file).st_size == MIB + 1_000
        fallocate(file, 0, 0, 10)
        os.posix_fallocate(file, 0, 2 * MIB)
        assert os.pread(file, 3 * MIB, 0) == b"data".ljust(2 * MIB, b"\0")


def test_fallocate_says_when_it_plainly_cannot_fit(folder: Path) -> None:
    with opened(folder / "file", os.O_RDWR | os.O_CREAT) as file:
        numbers = os.statvfs(folder)
        too_much = numbers.f_bfree * numbers.f_frsize + GIB
        for mode in (0, KEEP_SIZE):
            with refused(errno.ENOSPC):
                fallocate(file, mode, 0, too_much)
        assert os.fstat(file).st_size == 0


@pytest.mark.parametrize("offset", [0, 1, 4096, 5_000])
@pytest.mark.parametrize("mode", [PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE | KEEP_SIZE, ZERO_RANGE])
def test_punched_and_zeroed_ranges_read_as_zeros_and_give_back_their_blocks(
    folder: Path, offset: int, mode: int
) -> None:
    data, length = os.urandom(9 * MIB), 8 * MIB + 10
    (folder / "file").write_bytes(data)
    with opened(folder / "file", os.O_RDWR) as file, mmap.mmap(file, len(data)) as mapped:
        before = os.fstat(file).st_blocks * 512
        assert mapped[:] == data
        fallocate(file, mode, offset, length)
        expected = data[:offset] + bytes(length) + data[offset + length :]
        assert os.pread(file, len(data), 0) == expected
        assert mapped[:] == expected
        assert before - os.fstat(file).st_blocks * 512 >= 8 * MIB - 4096


def test_only_zero_range_without_keep_size_moves_the_end(folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * 10_000)
    with opened(folder / "file", os.O_RDWR) as file:
        for mode in (PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE | KEEP_SIZE):
            fallocate(file, mode, 9_000, MIB)
            assert os.fstat(file).st_size == 10_000
        fallocate(file, ZERO_RANGE, 8_000, MIB)
        assert os.fstat(file).st_size == 8_000 + MIB
        assert os.pread(file, 2 * MIB, 0) == (b"x" * 8_000).ljust(8_000 + MIB, b"\0")


@pytest.mark.parametrize(
    "mode", [COLLAPSE_RANGE, INSERT_RANGE, PUNCH_HOLE, PUNCH_HOLE | ZERO_RANGE | KEEP_SIZE]
)
def test_other_modes_are_not_supported(folder: Path, mode: int) -> None:
    (folder / "file").write_bytes(b"x" * 10_000)
    with opened(folder / "file", os.O_RDWR) as file, refused(errno.EOPNOTSUPP):
        fallocate(file, mode, 0, 4096)
    assert (folder / "file").read_bytes() == b"x" * 10_000


def test_fallocate_the_program(folder: Path) -> None:
    (folder / "file").write_bytes(b"x" * MIB)
    run("fallocate", "-p", "-o", "4096", "-l", "8192", folder / "file")
    run("fallocate", "-z", "-o", str(MIB // 2), "-l", "4096", folder / "file")
    run("fallocate", "-l", str(2 * MIB), folder / "file")
    assert (folder / "file").stat().st_size == 2 * MIB
    with opened(folder / "file") as file:
        half = MIB // 2
        assert runs_of(file) == [(0, 4096), (12_288, half), (half + 4096, MIB)]


# -- lseek -------------------------------------------------------------------------------------------------------------


def test_data_and_holes_are_found(folder: Path) -> None:
    with opened(folder / "file", os.O_RDWR | os.O_CREAT) as file:
        os.pwrite(file, b"a" * 8192, 4096)
        os.pwrite(file, b"b" * 100, 5 * GIB)
        assert os.lseek(file, 0, os.SEEK_HOLE) == 0
        assert os.lseek(file, 0, os.SEEK_DATA) == 4096
        assert os.lseek(file, 6_000, os.SEEK_DATA) == 6_000
        assert os.lseek(file, 6_000, os.SEEK_HOLE) == 12_288
        assert os.lseek(file, 12_288, os.SEEK_DATA) == 5 * GIB
        assert os.lseek(file, 5 * GIB + 1, os.SEEK_HOLE) == 5 * GIB + 100
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            with refused(errno.ENXIO):
                os.lseek(file, 5 * GIB + 100, whence)
        os.ftruncate(file, 6 * GIB)
        assert os.lseek(file, 5 * GIB + 4096, os.SEEK_HOLE) == 5 * GIB + 4096
        with refused(errno.ENXIO):
            os.lseek(file, 5 * GIB + 4096, os.SEEK_DATA)


def test_data_longer_than_a_page_of_the_extent_map_is_one_run(folder: Path) -> None:
    with opened(folder / "file", os.O_RDWR | os.O_CREAT) as file:
        os.pwrite(file, os.urandom(LEAF_BYTES), 0)
        size = LEAF_BYTES
        while size < 16 * GIB:
            size += copy_all(file, 0, file, size, size)
        os.ftruncate(file, 20 * GIB)
        assert runs_of(file) == [(0, 16 * GIB)]
        assert os.lseek(file, 12_345, os.SEEK_HOLE) == 16 * GIB


def test_what_only_a_mapping_has_written_is_no_hole(folder: Path) -> None:
    with opened(folder / "file", os.O_RDWR | os.O_CREAT) as file:
        os.ftruncate(file, 4 * MIB)
        with mmap.mmap(file, 4 * MIB) as mapped:
            mapped[MIB : MIB + 5] = b"dirty"
            with opened(folder / "file") as reader:
                assert runs_of(reader) == [(MIB, MIB + 4096)]
            mapped[2 * MIB : 2 * MIB + 5] = b"again"
            run("cp", "--sparse=auto", folder / "file", folder / "copy")
    assert (folder / "copy").read_bytes() == (folder / "file").read_bytes()


def test_qemu_img_sees_the_holes(folder: Path) -> None:
    with opened(folder / "disk.raw", os.O_RDWR | os.O_CREAT) as disk:
        os.pwrite(disk, b"d" * MIB, 10 * MIB)
        os.ftruncate(disk, 64 * MIB)
    listed = json.loads(run("qemu-img", "map", "-f", "raw", "--output=json", folder / "disk.raw"))
    assert [(part["start"], part["length"], part["data"]) for part in listed] == [
        (0, 10 * MIB, False),
        (10 * MIB, MIB, True),
        (11 * MIB, 53 * MIB, False),
    ]
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", folder / "disk.raw", folder / "copy.raw")
    run("cmp", folder / "disk.raw", folder / "copy.raw")
    # qemu writes the first block of a new raw file by itself (block/file-posix.c: allocate_first_block).
    assert (folder / "copy.raw").stat().st_blocks * 512 == MIB + 4096


# -- beside the share, and when things fail ----------------------------------------------------------------------------


async def test_locks_of_the_share_hold_for_ranges(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        await on((inside.path / "file").write_bytes, b"x" * 3 * MIB)
        await on((inside.path / "copy").write_bytes, b"y" * MIB)
        inode = await inside.share.lookup(inside.share.root, b"file")
        entry = inside.opens.open(inode.number, FILE_READ_DATA | FILE_WRITE_DATA, FILE_SHARE_ALL, inside)
        assert inside.opens.lock(entry, MIB, 100, exclusive=True)
        async with (
            opened_on(inside.path / "file", os.O_RDWR) as file,
            opened_on(inside.path / "copy", os.O_RDWR) as copy,
        ):
            for calls in (
                (os.copy_file_range, file, copy, 100, MIB + 50, 0),
                (os.copy_file_range, copy, file, 100, 0, MIB + 50),
                (fallocate, file, PUNCH_HOLE | KEEP_SIZE, 0, 2 * MIB),
            ):
                with refused(errno.EAGAIN):
                    await on(*calls)
            assert await on(os.copy_file_range, file, copy, MIB, 0, 0) == MIB
        inside.opens.close(entry)
        assert await on((inside.path / "copy").read_bytes) == b"x" * MIB
        assert await on((inside.path / "file").read_bytes) == b"x" * 3 * MIB


async def test_a_copy_that_fails_half_way_leaves_no_old_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def half(volume: Volume, inode: Any, offset: int, *rest: Any, **more: Any) -> int:
        await volume.write(inode, offset, b"half")
        raise StoreFailed("the disk is broken")

    async with mounted_inside(tmp_path) as inside:
        await on((inside.path / "source").write_bytes, b"s" * 8192)
        await on((inside.path / "target").write_bytes, b"t" * 8192)
        async with (
            opened_on(inside.path / "source") as source,
            opened_on(inside.path / "target", os.O_RDWR) as target,
        ):
            assert await on(os.pread, target, 8192, 0) == b"t" * 8192
            monkeypatch.setattr(Volume, "write_pin", half)
            with refused(errno.EIO):
                await on(os.copy_file_range, source, target, 8192, 0, 0)
            with trio.fail_after(60):
                while await on(os.pread, target, 8192, 0) != b"half".ljust(8192, b"t"):
                    await trio.sleep(0.01)


async def test_a_defect_costs_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expect_log: Any
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    expect_log("operation=lseek failed")
    async with mounted_inside(tmp_path) as inside:
        await on((inside.path / "file").write_bytes, b"x" * 8192)
        async with opened_on(inside.path / "file") as file:
            with monkeypatch.context() as patch:
                patch.setattr(Volume, "next_data", broken)
                with refused(errno.EIO):
                    await on(os.lseek, file, 0, os.SEEK_DATA)
            assert await on(os.lseek, file, 0, os.SEEK_DATA) == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_even_a_request_that_never_became_a_task_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("odxfs_mount.range_requests.RangeRequests._start", broken)
    async with mounted_inside(tmp_path) as inside:
        await on((inside.path / "file").write_bytes, b"x" * 8192)
        async with opened_on(inside.path / "file", os.O_RDWR) as file:
            for call in ((os.lseek, file, 0, os.SEEK_DATA), (fallocate, file, 0, 0, 9000)):
                with refused(errno.EIO):
                    await on(*call)


async def test_a_copy_under_way_is_answered_when_the_mount_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answer, original = trio.Event(), [], Volume.write_pin

    async def slow(*arguments: Any, **more: Any) -> int:
        begun.set()
        await trio.sleep(0.5)
        return await original(*arguments, **more)

    def copy(inside: Inside, answered: Event) -> None:
        source, target = (
            os.open(inside.path / "source", os.O_RDONLY),
            os.open(inside.path / "target", os.O_RDWR),
        )
        answer.append(os.copy_file_range(source, target, 8192, 0, 0))
        answered.set()
        for descriptor in (source, target):
            with suppress(OSError):  # the mount is gone
                os.close(descriptor)

    answered = Event()
    async with mounted_inside(tmp_path) as inside:
        await on((inside.path / "source").write_bytes, b"s" * 8192)
        await on((inside.path / "target").write_bytes, b"t" * 8192)
        monkeypatch.setattr(Volume, "write_pin", slow)
        Thread(target=copy, args=(inside, answered), daemon=True).start()
        await begun.wait()
    assert await on(answered.wait, 60)
    assert answer == [8192]


def test_a_killed_cp_leaves_the_mount_in_order(pool: MountedPool, folder: Path) -> None:
    with opened(folder / "disk", os.O_RDWR | os.O_CREAT) as disk:
        os.pwrite(disk, os.urandom(32 * MIB), 0)
        # Two files apart by one byte: every byte moves, so that there is something to interrupt.
        program = (
            "import os, sys\n"
            "source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)\n"
            "while True:\n"
            "    os.copy_file_range(source, target, 16 << 20, 0, 1)\n"
        )
        process = subprocess.Popen([sys.executable, "-c", program, folder / "disk", folder / "copy"])
        while not (folder / "copy").exists() or not (folder / "copy").stat().st_size:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert copy_all(disk, 0, disk, 32 * MIB, 32 * MIB) == 32 * MIB


# -- without the extension ---------------------------------------------------------------------------------------------


def test_without_the_extension_the_mount_works_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODXFS_MOUNT_EXTENSION", "0")
    with mounted_pool(tmp_path) as plain:
        log = (plain.directory / "odxfs.log").read_text()
        assert log.count("extension=absent") == 1
        data = os.urandom(3 * MIB)
        (plain.mountpoint / "file").write_bytes(data)
        run("cp", plain.mountpoint / "file", plain.mountpoint / "copy")
        assert (plain.mountpoint / "copy").read_bytes() == data
        assert counted(plain)["calls"] == 0
        with opened(plain.mountpoint / "file", os.O_RDWR) as file:
            with refused(errno.EOPNOTSUPP):
                fallocate(file, 0, 0, 4 * MIB)
            assert runs_of(file) == [(0, 3 * MIB)]


def test_with_the_extension_the_log_does_not_speak_of_it(pool: MountedPool) -> None:
    assert "extension=" not in (pool.directory / "odxfs.log").read_text()
