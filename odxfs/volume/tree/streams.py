"""Named streams of files and directories (MS-FSCC 2.1.5.3): each is an inode of its own, which only its base leads to.

So its bytes are kept, shared, pinned, checked and seen in snapshots as those of any file. Its name is a row in STREAM, found by
its form without case: there are no two streams of one file that differ in case only. Its owner, mode, times and attributes mean
nothing, those of the base count. A base that is deleted for good takes its streams with it (orphans.py).
"""

from typing import TYPE_CHECKING, NamedTuple

from odxfs.errors import AlreadyExists, InvalidArgument, NameTooLong, NotFound, TooManyStreams
from odxfs.types import InodeNumber, VolumeId
from odxfs.volume.catalog.interface import Key, Row, Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.past import SeenView
from odxfs.volume.changes import StreamAdded, StreamRemoved, StreamRenamed
from odxfs.volume.tree.inodes import ARCHIVE, STREAM_MODE, Inode, Permit, new_inode_row
from odxfs.volume.tree.names import MAX_STREAM_NAME_BYTES, fold, is_stream_name

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool
    from odxfs.volume.tree.namespace import Namespace

MAX_STREAMS = 4096
"""Named streams of one file: all of them are told in one answer, of at most 1 MiB with names of 100 characters."""


class StreamEntry(NamedTuple):
    """One named stream of a file."""

    name: bytes
    number: InodeNumber


def _entry(row: Row) -> StreamEntry:
    name, number = row
    return StreamEntry(name, number)  # type: ignore[arg-type]


class StreamRows:
    """Rows of Table.STREAM, by the number of the base."""

    def __init__(self, view: CatalogView | SeenView) -> None:
        self._view = view

    async def find(self, base: Inode, name: bytes) -> StreamEntry | None:
        """The stream of that name, in whatever case."""
        if not base.has_streams:
            return None
        row = await self._view.get(Table.STREAM, (base.number, fold(name)))
        return None if row is None else _entry(row)

    async def all(self, base: Inode) -> list[StreamEntry]:
        """Every named stream, in the order of their folded names."""
        if not base.has_streams:
            return []
        moment = self._view.moment
        rows = await self._view.range(Table.STREAM, (base.number,), (base.number + 1,))
        if not rows and moment == self._view.moment:
            base.has_streams = False
        return [_entry(row) for _key, row in rows]

    def put(self, base: Inode, name: bytes, number: InodeNumber) -> None:
        """Enter a stream under a name that is free."""
        base.has_streams = True
        self._view.put(Table.STREAM, (base.number, fold(name)), (name, number))

    def delete(self, base: Inode, name: bytes) -> None:
        """Take out a stream that is there."""
        self._view.delete(Table.STREAM, (base.number, fold(name)))


class Streams:
    """How the named streams of all volumes of a pool change."""

    def __init__(self, pool: "Pool", namespace: "Namespace") -> None:
        self._pool = pool
        self._namespace = namespace
        self._rows = namespace.streams

    async def create(self, volume: VolumeId, origin: str, base: Inode, name: bytes) -> Inode:
        """See Volume.create_stream."""
        await self._pool.ready_to_add()
        check_stream_name(name)
        namespace = self._namespace
        async with namespace.locks.of(base.number):
            if await self._rows.find(base, name) is not None:
                raise AlreadyExists(f"there is a stream {name!r} already")
            if base.has_streams and len(await self._rows.all(base)) >= MAX_STREAMS:
                raise TooManyStreams(f"inode {base.number} has {MAX_STREAMS} streams already")
            _check_base(base)
            now = self._pool.clock()
            row = new_inode_row(volume, STREAM_MODE, base.uid, base.gid, now, parent=base.number)
            stream = namespace.inodes.add(self._pool.identifiers.inode(volume), row)
            self._rows.put(base, name, stream.number)
            self._changed(base, now)
            namespace.count(volume, 1)
            if self._pool.has_observers:
                self._pool.emit(StreamAdded(volume, origin, base.number, name, stream.number))
        return stream

    async def remove(
        self, volume: VolumeId, origin: str, base: Inode, name: bytes, permit: Permit | None
    ) -> None:
        """See Volume.remove_stream."""
        await self._pool.ready_to_remove()
        namespace = self._namespace
        async with namespace.locks.of(base.number):
            entry = await self._find(base, name)
            stream = await namespace.inodes.get(entry.number)
            if permit is not None:
                permit(stream)
            self._rows.delete(base, entry.name)
            self._changed(base, self._pool.clock())
            self._drop(stream)
            if self._pool.has_observers:
                self._pool.emit(StreamRemoved(volume, origin, base.number, entry.name, stream.number))
        await namespace.orphans.delete_if_unused(stream)

    async def rename(
        self, volume: VolumeId, origin: str, base: Inode, old: bytes, new: bytes, permit: Permit | None
    ) -> None:
        """See Volume.rename_stream."""
        await self._pool.ready_to_remove()
        check_stream_name(new)
        namespace = self._namespace
        async with namespace.locks.of(base.number):
            entry = await self._find(base, old)
            other = await self._rows.find(base, new)
            replaced = None
            if other is not None and other.number != entry.number:
                replaced = await namespace.inodes.get(other.number)
                if permit is None:
                    raise AlreadyExists(f"there is a stream {new!r} already")
                permit(replaced)
            _check_base(base)
            self._rows.delete(base, entry.name)
            self._rows.put(base, new, entry.number)
            self._changed(base, self._pool.clock())
            if replaced is not None:
                self._drop(replaced)
            if self._pool.has_observers:
                self._pool.emit(StreamRenamed(volume, origin, base.number, entry.name, new, entry.number))
        if replaced is not None:
            await namespace.orphans.delete_if_unused(replaced)

    def content_changed(self, stream: Inode) -> None:
        """A stream was written to: that is its file's time of modification. Whoever writes holds the file."""
        base = self._namespace.inodes.cached(stream.parent)
        if base is not None:
            base.mtime_ns, base.ctime_ns = stream.mtime_ns, stream.ctime_ns
            if base.is_file:
                base.dos_attributes |= ARCHIVE
            self._namespace.mark_dirty(base)

    async def drop(self, key: Key, row: Row) -> None:
        """The base of a row of STREAM is being deleted for good, and the stream with it."""
        stream = await self._namespace.inodes.get(_entry(row).number)
        self._pool.view.delete(Table.STREAM, key)
        self._drop(stream)
        await self._namespace.orphans.delete_if_unused(stream)

    async def _find(self, base: Inode, name: bytes) -> StreamEntry:
        entry = await self._rows.find(base, name)
        if entry is None:
            raise NotFound(f"inode {base.number} has no stream {name!r}")
        return entry

    def _drop(self, stream: Inode) -> None:
        """The row that named `stream` is gone: the counts that follow from it."""
        stream.nlink = 0
        self._namespace.mark_dirty(stream)
        self._namespace.orphans.enter(stream)
        self._namespace.count(stream.volume, -1)

    def _changed(self, base: Inode, now: int) -> None:
        base.ctime_ns = now
        if base.is_file:
            base.dos_attributes |= ARCHIVE
        self._namespace.mark_dirty(base)
        self._pool.committer.note_change()


def check_stream_name(name: bytes) -> None:
    """Raise unless `name` may be given to a stream: InvalidArgument, NameTooLong."""
    if len(name) > MAX_STREAM_NAME_BYTES:
        raise NameTooLong(f"a stream name of {len(name)} bytes")
    if not is_stream_name(name):
        raise InvalidArgument(f"{name!r} cannot be the name of a stream")


def _check_base(base: Inode) -> None:
    if base.nlink == 0:
        raise NotFound(f"inode {base.number} has been deleted")
    if base.is_stream or not (base.is_file or base.is_directory):
        raise InvalidArgument(f"inode {base.number} cannot have streams")
