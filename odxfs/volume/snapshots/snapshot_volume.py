"""A snapshot as the front ends use it: a volume that can be read, and in which nothing can be changed."""

from typing import TYPE_CHECKING, NoReturn

from odxfs.errors import Corrupt, ReadOnly, Stale
from odxfs.types import Buffer
from odxfs.volume.catalog.interface import inode_seen_in
from odxfs.volume.pins import Pin
from odxfs.volume.tree.inodes import Inode
from odxfs.volume.volume import Volume

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool


async def _refuse(*_arguments: object, **_more: object) -> NoReturn:
    raise ReadOnly("a snapshot cannot be changed")


def _refuse_now(*_arguments: object, **_more: object) -> NoReturn:
    raise ReadOnly("a snapshot cannot be changed")


class SnapshotVolume(Volume):
    """Reading methods are a volume's and raise Stale besides, once the snapshot is deleted; all others raise ReadOnly.

    Its inodes have numbers of their own (`inode_seen_in`). They may be used for as long as this object is kept.
    """

    def __init__(self, pool: "Pool", name: str, snapshot: str, origin: str = "") -> None:
        """Raises NotFound when the pool has no such volume or the volume no such snapshot."""
        super().__init__(pool, name, origin)
        self.snapshot = pool.snapshots.find(name, snapshot)
        self._tree = pool.snapshots.tree(self.snapshot)
        self.root = inode_seen_in(self.snapshot.id, self.root)

    create = link = unlink = rmdir = rename = _refuse
    create_stream = remove_stream = rename_stream = change_kind = _refuse
    set_attributes = set_xattr = remove_xattr = _refuse
    write = truncate = deallocate = write_pin = clone_range = _refuse
    write_nowait = keep_mtime = reserve = _refuse_now

    def touch(self, inode: Inode, *, accessed: bool = False, modified: bool = False) -> None:
        """Without effect: in a snapshot reading leaves no trace."""

    def read_nowait(
        self, inode: Inode, offset: int, length: int, page: memoryview | None = None
    ) -> Buffer | None:
        """See Volume.read_nowait. Raises Stale."""
        _check_there(inode)
        return super().read_nowait(inode, offset, length, page)

    async def read(self, inode: Inode, offset: int, length: int) -> Buffer:
        """See Volume.read. Raises Stale."""
        _check_there(inode)
        try:
            found = await super().read(inode, offset, length)
        except Corrupt:
            _check_there(inode)  # a leaf that went with the snapshot is not missing
            raise
        _check_there(inode)  # once it is deleted, its leaves may be changed
        return found

    async def allocated_ranges(
        self, inode: Inode, offset: int, length: int, limit: int = 1024
    ) -> list[tuple[int, int]]:
        """See Volume.allocated_ranges. Raises Stale."""
        _check_there(inode)
        try:
            found = await super().allocated_ranges(inode, offset, length, limit)
        except Corrupt:
            _check_there(inode)
            raise
        _check_there(inode)  # once it is deleted, its leaves may be changed
        return found

    async def next_data(self, inode: Inode, offset: int) -> int | None:
        """See Volume.next_data. Raises Stale."""
        _check_there(inode)
        try:
            found = await super().next_data(inode, offset)
        except Corrupt:
            _check_there(inode)
            raise
        _check_there(inode)  # once it is deleted, its leaves may be changed
        return found

    async def capture(self, inode: Inode, offset: int, length: int) -> Pin:
        """See Volume.capture: the pin outlives the snapshot. Raises Stale."""
        _check_there(inode)
        try:
            return await super().capture(inode, offset, length)
        except Corrupt:
            _check_there(inode)
            raise


def _check_there(inode: Inode) -> None:
    if inode.gone:
        raise Stale(f"the snapshot that inode {inode.number} was seen in has been deleted")
