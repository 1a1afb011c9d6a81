"""The power goes at every point between the store's syncs; what was acknowledged as durable must be there, and sound."""

import random
from pathlib import Path

from odxfs.types import LEAF_BYTES, InodeNumber
from odxfs.volume import Inode, Pool, Volume, check_directory, create_pool, open_pool
from tests.crash.power import RecordingFiles

FILES = 3
LARGEST = LEAF_BYTES + 300_000


class Workload:
    """Random changes to a few files, and what they should hold."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.contents: dict[bytes, bytearray] = {}
        self.durable: dict[bytes, bytes] = {}
        """As of the last acknowledged sync."""

    async def start(self, volume: Volume) -> None:
        self.inodes: dict[bytes, Inode] = {}
        for index in range(FILES):
            name = b"file%d" % index
            self.inodes[name] = await volume.create(volume.root, name, 0o644, 0, 0)
            self.contents[name] = bytearray()

    async def step(self, volume: Volume) -> None:
        name = self.choose.choice(sorted(self.inodes))
        inode, content = self.inodes[name], self.contents[name]
        what = self.choose.random()
        if what < 0.55:
            offset = self.choose.randrange(LARGEST - 200_000)
            data = self.choose.randbytes(self.choose.choice([1, 4096, 5000, 8192, 150_000]))
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
            await volume.write(inode, offset, data)
        elif what < 0.7:
            size = self.choose.randrange(LARGEST)
            content.extend(bytes(max(0, size - len(content))))
            del content[size:]
            await volume.truncate(inode, size)
        elif what < 0.8:
            offset, length = self.choose.randrange(LARGEST), self.choose.choice([100, 4096, 100_000])
            end = min(offset + length, len(content))
            if end > offset:
                content[offset:end] = bytes(end - offset)
            await volume.deallocate(inode, offset, length)
        else:
            other = self.choose.choice(sorted(self.inodes))
            if other != name and self.contents[other]:
                self.contents[name][: len(self.contents[other])] = self.contents[other]
                await volume.clone_range(self.inodes[other], 0, inode, 0, len(self.contents[other]))

    async def sync(self, volume: Volume) -> None:
        now = {name: bytes(content) for name, content in self.contents.items()}
        await volume.sync()
        self.durable = now


async def contents_of(volume: Volume) -> dict[bytes, bytes]:
    found = {}
    for entry in await volume.list_directory(volume.root):
        inode = await volume.inode(InodeNumber(entry.number))
        found[entry.name] = bytes(await volume.read(inode, 0, inode.size))
    return found


async def assert_sound(directory: Path, expected: list[dict[bytes, bytes]]) -> None:
    """A pool that was cut off opens, passes the check with all its data, and holds one of the expected states."""
    assert await check_directory(directory, read_data=True) == []
    async with open_pool(directory, owner="after the cut") as pool:
        assert await pool.check(read_data=True) == []
        assert await contents_of(pool.volume("main")) in expected
        await pool.commit()
        assert await pool.check() == []


async def test_power_cut_around_every_sync(tmp_path: Path) -> None:
    for seed in range(4):
        await _one_life(tmp_path / str(seed), seed)


async def _one_life(base: Path, seed: int) -> None:
    directory, files = base / "pool", RecordingFiles()
    create_pool(directory)
    cuts: list[tuple[Path, list[dict[bytes, bytes]]]] = []
    work = Workload(seed)

    def cut() -> None:
        copy = base / f"cut{len(cuts)}"
        files.copy_after_power_cut(directory, copy, work.choose)
        # A commit of the pool's own accord may have gone further than the last sync that was asked for.
        cuts.append((copy, [work.durable, *states]))

    states: list[dict[bytes, bytes]] = []
    async with open_pool(directory, owner="life", files=files) as pool:
        volume = pool.volume("main")
        await work.start(volume)
        await work.sync(volume)
        files.on_sync = cut
        for _ in range(6):
            states.clear()
            for _ in range(8):
                await work.step(volume)
                states.append({name: bytes(content) for name, content in work.contents.items()})
            await work.sync(volume)
            states.clear()
            cut()
        files.on_sync = lambda: None
    assert len(cuts) > 12
    for copy, expected in cuts:
        await assert_sound(copy, expected)
    await assert_sound(directory, [work.durable, {n: bytes(c) for n, c in work.contents.items()}])


async def test_a_cut_with_tokens_and_open_files_leaves_no_debt(tmp_path: Path) -> None:
    directory, files = tmp_path / "pool", RecordingFiles()
    create_pool(directory)
    async with open_pool(directory, owner="life", files=files) as pool:
        volume = pool.volume("main")
        inode = await volume.create(volume.root, b"a", 0o644, 0, 0)
        volume.hold(inode)
        await volume.write(inode, 0, b"x" * (2 * LEAF_BYTES))
        await volume.capture(inode, 0, 2 * LEAF_BYTES)
        await volume.write(inode, 4096, b"y" * 4096)
        await volume.unlink(volume.root, b"a")
        await volume.sync()
        files.copy_after_power_cut(directory, tmp_path / "cut", random.Random(1))
    await assert_sound(tmp_path / "cut", [{}])
    async with open_pool(tmp_path / "cut", owner="again") as pool:
        assert _used(pool) == 0


def _used(pool: Pool) -> int:
    return pool.statistics().allocated_bytes


async def test_a_segment_whose_header_was_lost_does_not_hide_behind_one_whose_header_was_not(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="life") as pool:
        pool.segments.create_next()
        await pool.commit()
        first = pool.segments.count
    segments = directory / "segments"
    (segments / f"{first:08d}").write_bytes(bytes(4096))  # its header was not synced, the next one's was
    async with open_pool(directory, owner="to make the next one") as pool:
        assert pool.segments.count == first
        pool.segments.create_next()
        pool.segments.create_next()
    (segments / f"{first:08d}").write_bytes(bytes(4096))
    async with open_pool(directory, owner="after the cut") as pool:
        assert pool.segments.count == first
        assert sorted(path.name for path in segments.iterdir()) == [f"{n:08d}" for n in range(first)]
