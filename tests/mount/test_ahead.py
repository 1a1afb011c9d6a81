"""A program that reads from beginning to end gets what is there at the moment of each read, though it was read ahead."""

import os
from mmap import mmap
from pathlib import Path

import pytest

from odxfs_mount.ahead import LONG_BYTES, ReadAhead
from odxfs_mount.session import KERNEL_READ_AHEAD_KIB
from odxfs_mount.unmounting import find_mount
from tests.mount.inside import mounted_inside, on

MEBIBYTE = 1 << 20


class Reads:
    """What is asked of a volume."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def now(self, file: object, offset: int, length: int, page: bytearray) -> memoryview:
        self.offsets.append(offset)
        return memoryview(page)[:length]


def read_at(path: Path, index: int, descriptors: list[int]) -> bytes:
    """Read one MiB past the kernel's pages, through one descriptor."""
    if not descriptors:
        descriptors.append(os.open(path, os.O_RDONLY | os.O_DIRECT))
    with mmap(-1, MEBIBYTE) as buffer:
        count = os.preadv(descriptors[0], [buffer], index * MEBIBYTE)
        return bytes(buffer[:count])


@pytest.mark.parametrize("change", ["write", "truncate", "deallocate", "copy"])
async def test_what_changes_after_it_was_read_ahead_is_read_anew(tmp_path: Path, change: str) -> None:
    old = [os.urandom(MEBIBYTE) for _ in range(5)]
    new = os.urandom(MEBIBYTE)
    descriptors: list[int] = []
    async with mounted_inside(tmp_path) as inside:
        path = inside.path / "disk"
        await on(path.write_bytes, b"".join(old))
        volume = inside.share
        file = await volume.lookup(volume.root, b"disk")
        for index in range(3):
            assert await on(read_at, path, index, descriptors) == old[index]
        match change:
            case "write":
                await volume.write(file, 3 * MEBIBYTE, new)
                expected = new
            case "truncate":
                await volume.truncate(file, 3 * MEBIBYTE + 4096)
                expected = old[3][:4096]
            case "deallocate":
                await volume.deallocate(file, 3 * MEBIBYTE, MEBIBYTE)
                expected = bytes(MEBIBYTE)
            case _:
                await volume.clone_range(file, 0, file, 3 * MEBIBYTE, MEBIBYTE)
                expected = old[0]
        assert await on(read_at, path, 3, descriptors) == expected
        await on(os.close, descriptors[0])


async def test_a_lock_of_the_share_holds_for_what_was_read_ahead(tmp_path: Path) -> None:
    descriptors: list[int] = []
    async with mounted_inside(tmp_path) as inside:
        path = inside.path / "disk"
        await on(path.write_bytes, bytes(4 * MEBIBYTE))
        file = await inside.share.lookup(inside.share.root, b"disk")
        for index in range(3):
            await on(read_at, path, index, descriptors)
        entry = inside.opens.open(file.number, 3, 7, object())
        inside.opens.lock(entry, 3 * MEBIBYTE, 1, exclusive=True)
        with pytest.raises(BlockingIOError):
            await on(read_at, path, 3, descriptors)
        inside.opens.close(entry)
        await on(os.close, descriptors[0])


async def test_the_kernel_asks_for_long_ranges(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        mounted = find_mount(str(inside.path))
        assert mounted is not None
        knob = Path(f"/sys/class/bdi/{mounted.device}/read_ahead_kb")
        assert int(knob.read_text()) == KERNEL_READ_AHEAD_KIB


def test_only_who_reads_on_is_read_ahead_for() -> None:
    reads, file = Reads(), type("File", (), {"number": 5})()
    ahead = ReadAhead(reads.now)
    for offset in (0, 7 * MEBIBYTE, 3 * MEBIBYTE):
        assert ahead.take(file, offset, LONG_BYTES) is None
        assert not ahead.work()
    assert reads.offsets == []
    assert ahead.take(file, 3 * MEBIBYTE + LONG_BYTES, LONG_BYTES) is None
    assert ahead.work()
    assert not ahead.work(), "once is enough"
    assert reads.offsets == [3 * MEBIBYTE + 2 * LONG_BYTES]
    ahead.forget(6)
    assert ahead.take(file, 3 * MEBIBYTE + 2 * LONG_BYTES, LONG_BYTES) is not None
