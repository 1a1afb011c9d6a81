"""Copying a part of a file tree into another tree of the pool by cloning: no data moves, all that describes a file comes along.

What is copied grows under a name of its own and takes its place in one rename, so nobody sees half of it.
"""

from dataclasses import dataclass

from odxfs.errors import AlreadyExists, InvalidArgument, NotFound
from odxfs.types import InodeNumber
from odxfs.volume.inodes import AttributeChange, Inode
from odxfs.volume.names import encode_name
from odxfs.volume.renames import RenameFlags
from odxfs.volume.volume import Volume

_PAGE = 1000
_UNFINISHED = b".odxfs-unfinished-%d"


@dataclass(slots=True)
class Copied:
    """What was copied."""

    inodes: int = 0
    bytes: int = 0


class TreeCopy:
    """Copies from one volume, or snapshot, to another volume of the same pool."""

    def __init__(self, source: Volume, destination: Volume) -> None:
        self._source = source
        self._destination = destination
        self._linked: dict[InodeNumber, Inode] = {}
        """Copies of files that have more than one name, by the number of the original."""
        self._copied = Copied()

    async def copy(self, path: str, to: str, *, replace: bool) -> Copied:
        """Copy what is at `path` to the path `to`; durable on return. Paths begin at the volume's root.

        Raises NotFound, NotADirectory, AlreadyExists unless `replace`, InvalidArgument for a root, and whatever writing
        raises; then nothing is left behind.
        """
        original = await _find(self._source, _parts(path))
        *above, name = _parts(to) or [b""]
        if not name:
            raise InvalidArgument("a root cannot be replaced by a copy")
        parent = (await _find(self._destination, above)).number
        if not replace and await _has(self._destination, parent, name):
            raise AlreadyExists(f"there is a {to!r} already")
        unfinished = _UNFINISHED % original.number
        try:
            await self._copy(original, parent, unfinished)
            await self._put_in_place(parent, unfinished, name)
        finally:
            await _remove(self._destination, parent, unfinished)
        await self._destination.sync()
        return self._copied

    async def _put_in_place(self, parent: InodeNumber, unfinished: bytes, name: bytes) -> None:
        taken = await _has(self._destination, parent, name)
        flags = RenameFlags.EXCHANGE if taken else RenameFlags.NOREPLACE
        await self._destination.rename(parent, unfinished, parent, name, flags)

    async def _copy(self, original: Inode, parent: InodeNumber, name: bytes) -> None:
        known = self._linked.get(original.number)
        if known is not None:
            await self._destination.link(known, parent, name)
            return
        copy = await self._destination.create(
            parent,
            name,
            original.mode,
            original.uid,
            original.gid,
            rdev=original.rdev,
            target=original.target,
        )
        self._copied.inodes += 1
        if original.nlink > 1 and not original.is_directory:
            self._linked[original.number] = copy
        if original.is_directory:
            await self._copy_entries(original, copy)
        elif original.is_file:
            await self._destination.clone_range(original, 0, copy, 0, original.size)
            await self._destination.truncate(copy, original.size)
            self._copied.bytes += original.size
        for attribute in await self._source.list_xattrs(original):
            value = await self._source.get_xattr(original, attribute)
            await self._destination.set_xattr(copy, attribute, value)
        await self._destination.set_attributes(copy, _attributes(original))

    async def _copy_entries(self, original: Inode, copy: Inode) -> None:
        after = 0
        while entries := await self._source.list_directory(original.number, after, _PAGE):
            for entry in entries:
                await self._copy(await self._source.inode(entry.number), copy.number, entry.name)
            after = entries[-1].cookie


def _attributes(original: Inode) -> AttributeChange:
    return AttributeChange(
        mode=original.mode,
        uid=original.uid,
        gid=original.gid,
        atime_ns=original.atime_ns,
        mtime_ns=original.mtime_ns,
        btime_ns=original.btime_ns,
        dos_attributes=original.dos_attributes,
    )


def _parts(path: str) -> list[bytes]:
    return [encode_name(part) for part in path.split("/") if part]


async def _find(volume: Volume, parts: list[bytes]) -> Inode:
    inode = await volume.inode(volume.root)
    for part in parts:
        inode = await volume.lookup(inode.number, part)
    return inode


async def _has(volume: Volume, parent: InodeNumber, name: bytes) -> bool:
    try:
        await volume.lookup(parent, name)
    except NotFound:
        return False
    return True


async def _remove(volume: Volume, parent: InodeNumber, name: bytes) -> None:
    """Remove a name with all that is below it, if it is there."""
    try:
        inode = await volume.lookup(parent, name)
    except NotFound:
        return
    if not inode.is_directory:
        await volume.unlink(parent, name)
        return
    while entries := await volume.list_directory(inode.number, 0, _PAGE):
        for entry in entries:
            await _remove(volume, inode.number, entry.name)
    await volume.rmdir(parent, name)
