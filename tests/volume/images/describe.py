"""What a volume holds, as a value that JSON keeps: the same before and after means that nothing was lost."""

import hashlib
from typing import Any

from odxfs.types import InodeNumber
from odxfs.volume import Inode, Pool, Volume, decode_name

_READ_BYTES = 1 << 20


async def describe(volume: Volume) -> dict[str, dict[str, Any]]:
    """Path -> attributes, extended attributes and data (ranges, SHA-256 of where and what) of everything in a volume."""
    found: dict[str, dict[str, Any]] = {}
    await _add_directory(volume, volume.root, "", found)
    return found


async def describe_pool(pool: Pool) -> dict[str, dict[str, dict[str, Any]]]:
    """Each volume by its name, and each snapshot as VOLUME@SNAPSHOT."""
    found = {}
    for name in pool.volume_names:
        found[name] = await describe(pool.volume(name))
        for snapshot in pool.snapshots.of(name):
            found[f"{name}@{snapshot.name}"] = await describe(pool.snapshot_volume(name, snapshot.name))
    return found


async def _add_directory(
    volume: Volume, number: InodeNumber, path: str, found: dict[str, dict[str, Any]]
) -> None:
    inode = await volume.inode(number)
    found[path or "/"] = await _described(volume, inode)
    await _add_streams(volume, inode, path or "/", found)
    for entry in await volume.list_directory(number, limit=1_000_000):
        below = f"{path}/{decode_name(entry.name)}"
        child = await volume.lookup(number, entry.name)
        if child.is_directory:
            await _add_directory(volume, child.number, below, found)
        else:
            found[below] = await _described(volume, child)
            await _add_streams(volume, child, below, found)


async def _add_streams(volume: Volume, base: Inode, path: str, found: dict[str, dict[str, Any]]) -> None:
    for name, number in await volume.list_streams(base):
        found[f"{path}:{decode_name(name)}"] = await _described(volume, await volume.inode(number))


async def _described(volume: Volume, inode: Inode) -> dict[str, Any]:
    return {
        "number": inode.number,
        "attributes": [
            inode.mode, inode.uid, inode.gid, inode.rdev, inode.nlink, inode.size, inode.allocated_blocks,
            inode.mtime_ns, inode.ctime_ns, inode.btime_ns, inode.dos_attributes,
        ],
        "target": decode_name(inode.target),
        "xattrs": {
            decode_name(name): (await volume.get_xattr(inode, name)).hex()
            for name in await volume.list_xattrs(inode)
        },
        "data": await _hashed(volume, inode) if inode.is_file else [],
    }  # fmt: skip


async def _hashed(volume: Volume, inode: Inode) -> list[int | str]:
    ranges = await volume.allocated_ranges(inode, 0, inode.size, 100_000)
    digest = hashlib.sha256()
    for offset, length in ranges:
        digest.update(b"%d %d " % (offset, length))
        for start in range(offset, offset + length, _READ_BYTES):
            digest.update(await volume.read(inode, start, min(_READ_BYTES, offset + length - start)))
    return [len(ranges), digest.hexdigest()]
