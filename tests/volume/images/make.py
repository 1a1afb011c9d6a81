"""Makes an image of the pool format of this odxfs, which later versions must open.

`python -m tests.volume.images.make` writes format-N.tar.xz and format-N.json (what is in it) beside this file; N is the
catalog's schema version. An image is made once, when a format is new, and never made again. The pool in it was killed: it has
a write-ahead log, a pin, an orphan and a leaf whose last change is in the log of leaves.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import AttributeChange, Inode, Pool, Volume, create_pool, open_pool
from odxfs.volume.catalog.schema import SCHEMA_VERSION
from tests.volume.images.describe import describe_pool
from tests.volume.ticking import Ticking

IMAGES = Path(__file__).parent

_DENSE_BLOCKS = 150
"""More runs than a leaf keeps as runs."""


def make() -> None:
    """Write the image and its description."""
    with tempfile.TemporaryDirectory() as name:
        pool = Path(name) / "pool"
        create_pool(pool, clock=Ticking())
        child = subprocess.run(
            [sys.executable, "-m", "tests.volume.images.make", str(pool)], check=False, stdout=subprocess.PIPE
        )
        assert child.returncode == -signal.SIGKILL, child.returncode
        image = IMAGES / f"format-{SCHEMA_VERSION}"
        image.with_suffix(".json").write_bytes(child.stdout)
        subprocess.run(
            [
                "tar",
                "--create",
                "--xz",
                "--sparse",
                "--exclude=*-shm",
                "--owner=0",
                "--group=0",
                "--file",
                f"{image}.tar.xz",
                "pool",
            ],
            cwd=name,
            check=True,
        )


async def fill_and_die(directory: Path) -> None:
    """Fill a pool, tell what it holds, and be killed."""
    async with open_pool(directory, owner="image", clock=Ticking()) as pool:
        volume = pool.volume("main")
        await fill(volume)
        await _take_snapshots(pool)
        await pool.volumes.set_quota("clone", 1 << 40)
        await pool.commit()
        dense = await volume.lookup(volume.root, b"changed clone of dense")
        for change in (b"its own leaf", b"changed by the log of leaves"):
            await volume.write(dense, 37 * BLOCK_BYTES + 200, change)
            await pool.commit()
        print(json.dumps(await describe_pool(pool), indent=1), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


async def fill(volume: Volume) -> None:
    """Put something of everything into an empty volume, and leave an inode without a name held."""
    for part in (_fill_data, _fill_names, _fill_streams, _leave_behind):
        await part(volume)


async def _take_snapshots(pool: Pool) -> None:
    """Snapshots with changes of every kind between them, one of them deleted, and a changed clone of one."""
    volume = pool.volume("main")
    await pool.snapshots.create("main", "first")
    await volume.rename(volume.root, b"folder", volume.root, b"Moved")
    await volume.unlink(volume.root, b"dense")
    linked = await volume.lookup(volume.root, b"linked")
    await volume.write((await volume.find_stream(linked, b"zone.identifier"))[1], 0, b"[changed]")
    await volume.remove_stream(linked, "ärger?*".encode())
    copy = await volume.lookup(volume.root, b"clone of runs")
    await volume.write(copy, 3 * BLOCK_BYTES, _pattern(20, 2 * BLOCK_BYTES))
    await pool.snapshots.create("main", "deleted")
    await volume.truncate(copy, LEAF_BYTES // 2)
    await volume.set_xattr(copy, b"user.between", b"1")
    await pool.snapshots.create("main", "second")
    await volume.unlink(volume.root, b"sparse")
    await pool.volumes.clone("clone", "main", "first")
    clone = pool.volume("clone")
    await clone.write(await clone.lookup(clone.root, b"runs"), 0, _pattern(21, BLOCK_BYTES))
    await pool.snapshots.create("clone", "of the clone")
    await pool.snapshots.delete("main", "deleted")
    await pool.settle()


async def _file(volume: Volume, name: bytes, mode: int = 0o644) -> Inode:
    return await volume.create(volume.root, name, mode, 0, 0)


def _pattern(seed: int, length: int) -> bytes:
    """Bytes that differ from block to block and pack well."""
    blocks = (b"%d:%d " % (seed, number) * BLOCK_BYTES for number in range(-(-length // BLOCK_BYTES)))
    return b"".join(block[:BLOCK_BYTES] for block in blocks)[:length]


async def _fill_data(volume: Volume) -> None:
    """Leaves of both kinds, shared whole and shared in part, and holes."""
    runs = await _file(volume, b"runs")
    await volume.write(runs, 0, _pattern(1, LEAF_BYTES + 300_001))
    shifted = await _file(volume, b"shifted clone of runs")
    await volume.clone_range(runs, 0, shifted, 5 * BLOCK_BYTES, 200 * BLOCK_BYTES)
    copy = await _file(volume, b"clone of runs")
    await volume.clone_range(runs, 0, copy, 0, runs.size)
    dense = await _file(volume, b"dense")
    await volume.truncate(dense, LEAF_BYTES)
    for number in range(_DENSE_BLOCKS):
        await volume.write(dense, (number * 37 % 2048) * BLOCK_BYTES, _pattern(100 + number, BLOCK_BYTES))
    for name in (b"clone of dense", b"changed clone of dense"):
        clone = await _file(volume, name)
        await volume.clone_range(dense, 0, clone, 0, LEAF_BYTES)
    await volume.write(clone, 37 * BLOCK_BYTES + 100, b"changed")
    sparse = await _file(volume, b"sparse")
    await volume.write(sparse, 3 * BLOCK_BYTES, b"near the beginning")
    await volume.write(sparse, (4 << 30) - 10, b"across the border of two extent pages")
    await volume.truncate(sparse, 6 << 30)
    await _file(volume, b"empty")


async def _fill_names(volume: Volume) -> None:
    """Names, kinds and attributes of every sort."""
    folder = await volume.create(volume.root, b"folder", stat.S_IFDIR | 0o2750, 10, 20)
    below = await volume.create(folder.number, "Ärger".encode(), stat.S_IFDIR | 0o755, 0, 0)
    linked = await _file(volume, b"linked", 0o4755)
    await volume.write(linked, 0, b"three names")
    await volume.link(linked, folder.number, b"Second")
    await volume.link(linked, below.number, b"third")
    await volume.create(below.number, b"not \xff\xfe UTF-8", 0o600, 1000, 1000)
    for name in ("straße", "strasse", "ΣΣ", "\N{LATIN SMALL LIGATURE FI}le"):
        await volume.create(below.number, name.encode(), 0o600, 0, 0)
    await volume.create(volume.root, b"link", stat.S_IFLNK | 0o777, 0, 0, target=b"folder/\xfftarget")
    await volume.create(volume.root, b"fifo", stat.S_IFIFO | 0o600, 0, 0)
    await volume.create(volume.root, b"null", stat.S_IFCHR | 0o666, 0, 0, rdev=os.makedev(1, 3))
    await volume.set_xattr(linked, b"user.short", b"")
    await volume.set_xattr(linked, b"user.long", bytes(range(256)) * 8)
    await volume.set_attributes(linked, AttributeChange(dos_attributes=0x22, btime_ns=-5_000_000_000))


async def _fill_streams(volume: Volume) -> None:
    """Named streams of a file, of a directory, and of what has no name any more but is open."""
    linked, folder = await volume.lookup(volume.root, b"linked"), await volume.lookup(volume.root, b"folder")
    zone = await volume.create_stream(linked, b"Zone.Identifier")
    await volume.write(zone, 0, b"[ZoneTransfer]")
    await volume.create_stream(linked, "Ärger?*".encode())
    await volume.create_stream(linked, "ß".encode())
    await volume.create_stream(linked, b"SS")
    below = await volume.create_stream(folder, b"of a folder")
    await volume.clone_range(await volume.lookup(volume.root, b"runs"), 0, below, 0, LEAF_BYTES)
    orphan = await _file(volume, b"orphan with a stream")
    await volume.write(await volume.create_stream(orphan, b"stream"), 0, _pattern(4, 5 * BLOCK_BYTES))
    volume.hold(orphan)
    await volume.unlink(volume.root, b"orphan with a stream")


async def _leave_behind(volume: Volume) -> None:
    """A pin whose bytes no file has any more, and an inode without a name that is open."""
    pinned = await volume.lookup(volume.root, b"shifted clone of runs")
    await volume.capture(pinned, 0, pinned.size)
    await volume.write(pinned, 7 * BLOCK_BYTES, _pattern(9, 3 * BLOCK_BYTES))
    orphan = await _file(volume, b"orphan")
    await volume.write(orphan, 0, _pattern(3, 10 * BLOCK_BYTES))
    volume.hold(orphan)
    await volume.unlink(volume.root, b"orphan")


def main() -> None:
    """Make the image, or, in the child, fill the pool named on the command line."""
    if len(sys.argv) > 1:
        trio.run(fill_and_die, Path(sys.argv[1]))
    else:
        make()


if __name__ == "__main__":
    main()
