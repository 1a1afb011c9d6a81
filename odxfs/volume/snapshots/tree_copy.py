"""Copying a part of a file tree into another tree of the pool by cloning: no data moves, all that describes a file comes along.

What is copied grows under a name of its own and takes its place in one rename, so nobody sees half of it. Other tasks get
their turn after each inode, and may do the same at the same place. A crash may leave the unfinished copy.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import trio

from odxfs.errors import AlreadyExists, InvalidArgument, NotFound, SharingViolation
from odxfs.types import InodeNumber
from odxfs.volume.tree.directories import DirectoryEntry
from odxfs.volume.tree.inodes import AttributeChange, Inode
from odxfs.volume.tree.names import encode_name
from odxfs.volume.tree.renames import RenameFlags
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

        Raises NotFound, NotADirectory, AlreadyExists unless `replace`, SharingViolation when something would be replaced that a
        client uses, InvalidArgument for a root, and whatever writing raises; then nothing is left behind.
        """
        original = await _find(self._source, _parts(path))
        *above, name = _parts(to) or [b""]
        if not name:
            raise InvalidArgument("a root cannot be replaced by a copy")
        parent = (await _find(self._destination, above)).number
        if not replace and await _has(self._destination, parent, name):
            raise AlreadyExists(f"there is a {to!r} already")
        unfinished = (
            _UNFINISHED % self._destination.pool.identifiers.cookie()
        )  # a number that nobody else gets
        try:
            await self._copy(original, parent, unfinished)
            await self._put_in_place(parent, unfinished, name, replace=replace)
        finally:  # here lies the unfinished copy, or what it has replaced
            with trio.CancelScope(shield=True):
                await _remove(self._destination, parent, unfinished)
        await self._destination.sync()
        return self._copied

    async def _put_in_place(
        self, parent: InodeNumber, unfinished: bytes, name: bytes, *, replace: bool
    ) -> None:
        flags = RenameFlags.NOREPLACE
        if replace and await _has(self._destination, parent, name):
            await self._check_unused(await self._destination.lookup(parent, name))
            flags = RenameFlags.EXCHANGE
        await self._destination.rename(parent, unfinished, parent, name, flags)

    async def _check_unused(self, inode: Inode) -> None:
        """Raise SharingViolation when a client has the inode, or anything below it, open so that it may not be removed."""
        waiting = [inode]

        async def wait(entry: DirectoryEntry) -> None:
            with suppress(NotFound):  # removed meanwhile
                waiting.append(await self._destination.inode(entry.number))

        while waiting:
            inode = waiting.pop()
            if self._destination.pool.is_in_use(inode.number):
                raise SharingViolation("a client has a file open that would be replaced")
            if inode.is_directory:
                await _for_each(self._destination, inode.number, wait)

    async def _copy(self, original: Inode, parent: InodeNumber, name: bytes) -> None:
        """Copy an inode and all that is below it. A directory gets its times when all of its entries are there."""
        waiting: list[tuple[Inode, Inode]] = []

        async def copy_to(parent: InodeNumber, name: bytes, original: Inode) -> None:
            copy = await self._copy_inode(original, parent, name)
            if copy is not None and copy.is_directory:
                waiting.append((original, copy))

        async def copy_entry(parent: InodeNumber, entry: DirectoryEntry) -> None:
            await copy_to(parent, entry.name, await self._source.inode(entry.number))

        await copy_to(parent, name, original)
        while waiting:
            original, copy = waiting.pop()
            await _for_each(self._source, original.number, partial(copy_entry, copy.number))
            await self._describe(original, copy)

    async def _copy_inode(self, original: Inode, parent: InodeNumber, name: bytes) -> Inode | None:
        """Copy one inode without what is below it; None for a further name of one that has been copied."""
        known = self._linked.get(original.number)
        if known is not None:
            await self._destination.link(known, parent, name)
            return None
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
        for stream in await self._source.list_streams(original):
            await self._copy_data(
                await self._source.inode(stream.number),
                await self._destination.create_stream(copy, stream.name),
            )
        if original.is_directory:
            return copy
        if original.nlink > 1:
            self._linked[original.number] = copy
        if original.is_file:
            await self._copy_data(original, copy)
        await self._describe(original, copy)
        return copy

    async def _copy_data(self, original: Inode, copy: Inode) -> None:
        await self._destination.clone_range(original, 0, copy, 0, original.size)
        await self._destination.truncate(copy, original.size)
        self._copied.bytes += original.size

    async def _describe(self, original: Inode, copy: Inode) -> None:
        """Give a copy the attributes of the original. The owner comes first: who sets it takes away a program's capabilities."""
        security = await self._source.security(original)
        await self._destination.set_attributes(copy, _attributes(original, security))
        for attribute in await self._source.list_xattrs(original):
            value = await self._source.get_xattr(original, attribute)
            await self._destination.set_xattr(copy, attribute, value)


def _attributes(original: Inode, security: bytes) -> AttributeChange:
    return AttributeChange(
        mode=original.mode,
        uid=original.uid,
        gid=original.gid,
        atime_ns=original.atime_ns,
        mtime_ns=original.mtime_ns,
        btime_ns=original.btime_ns,
        dos_attributes=original.dos_attributes,
        security=security,
    )


def _parts(path: str) -> list[bytes]:
    return [encode_name(part) for part in path.split("/") if part]


async def _find(volume: Volume, parts: list[bytes]) -> Inode:
    inode = await volume.inode(volume.root)
    for part in parts:
        inode = await volume.lookup(inode.number, part)
    return inode


async def _for_each(
    volume: Volume, directory: InodeNumber, action: Callable[[DirectoryEntry], Awaitable[None]]
) -> None:
    """Do something with each entry of a directory; other tasks get their turn after each."""
    after = 0
    while entries := await volume.list_directory(directory, after, _PAGE):
        for entry in entries:
            await action(entry)
            await trio.lowlevel.checkpoint()
        after = entries[-1].cookie


async def _has(volume: Volume, parent: InodeNumber, name: bytes) -> bool:
    try:
        await volume.lookup(parent, name)
    except NotFound:
        return False
    return True


async def _remove(volume: Volume, parent: InodeNumber, name: bytes) -> None:
    """Remove a name with all that is below it, as far as it is there."""
    directories: list[tuple[InodeNumber, bytes, InodeNumber]] = []
    """(parent, name, number), each behind the one it is in."""

    async def remove(parent: InodeNumber, name: bytes) -> None:
        with suppress(NotFound):
            inode = await volume.lookup(parent, name)
            if inode.is_directory:
                directories.append((parent, name, inode.number))
            else:
                await volume.unlink(parent, name)

    async def remove_entry(parent: InodeNumber, entry: DirectoryEntry) -> None:
        await remove(parent, entry.name)

    await remove(parent, name)
    for _, _, number in directories:  # which grows meanwhile
        await _for_each(volume, number, partial(remove_entry, number))
    for above, empty, _ in reversed(directories):
        with suppress(NotFound):
            await volume.rmdir(above, empty)
        await trio.lowlevel.checkpoint()
