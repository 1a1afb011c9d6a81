"""A real volume in the frozen form of the model, by what its readers answer."""

from odxfs.types import InodeNumber
from odxfs.volume import Inode, Pool, Volume
from tests.volume.model.content import Content
from tests.volume.model.tree import STREAM, Frozen, Path, Seen, with_snapshots

_RANGES = 64
"""Ranges asked for at a time; few, so that going on after the last one is part of what is tested."""

_ACROSS = 20_000
"""Bytes read at the start and the end of a file in one go, holes and all."""


async def seen_of(volume: Volume) -> Frozen:
    """All that the volume holds."""
    found: dict[Path, tuple[Inode, tuple[tuple[bytes, bytes], ...], Content | bytes]] = {}

    async def add(here: Path, inode: Inode) -> None:
        content = await content_of(volume, inode) if inode.is_file else inode.target
        names = await volume.list_xattrs(inode)
        xattrs = tuple([(name, await volume.get_xattr(inode, name)) for name in names])
        found[here] = (inode, xattrs, content)

    async def add_streams(base: Path, inode: Inode) -> None:
        for name, number in await volume.list_streams(inode):
            await add((*base, STREAM + name), await volume.inode(number))

    await add_streams((), await volume.inode(volume.root))
    waiting: list[tuple[Path, InodeNumber]] = [((), volume.root)]
    while waiting:
        path, directory = waiting.pop()
        for entry in await volume.list_directory(directory):
            here = (*path, entry.name)
            inode = await volume.lookup(directory, entry.name)
            assert inode.kind == entry.kind
            await add(here, inode)
            await add_streams(here, inode)
            if inode.is_directory:
                waiting.append((here, inode.number))
    first: dict[int, Path] = {}
    for path in sorted(found):
        first.setdefault(found[path][0].number, path)
    return {
        path: Seen(inode.kind, content, xattrs, first[inode.number])
        for path, (inode, xattrs, content) in found.items()
    }


async def seen_of_pool(pool: Pool) -> Frozen:
    """All that the volume "main" and its snapshots hold."""
    snapshots = {
        snapshot.name: await seen_of(pool.snapshot_volume("main", snapshot.name))
        for snapshot in pool.snapshots.of("main")
    }
    return with_snapshots(await seen_of(pool.volume("main")), snapshots)


async def content_of(volume: Volume, inode: Inode) -> Content:
    """A file's bytes: those of its ranges with data read, the holes taken at their word."""
    content, at = Content(inode.size), 0
    while ranges := await volume.allocated_ranges(inode, at, inode.size - at, _RANGES):
        for offset, length in ranges:
            content.write(offset, bytes(await volume.read(inode, offset, length)))
        at = sum(ranges[-1])
    return content


async def assert_holds(volume: Volume, inode: Inode, expected: Content) -> None:
    """A file holds these bytes and no others, and reports no hole where there are some."""
    assert inode.size == expected.size
    assert await content_of(volume, inode) == expected, "bytes differ, or data is reported as a hole"
    for offset, length in ((0, _ACROSS), (max(0, expected.size - _ACROSS), 2 * _ACROSS)):
        assert bytes(await volume.read(inode, offset, length)) == expected.read(offset, length)
