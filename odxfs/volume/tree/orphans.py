"""Deleting inodes for good: the end of every file, whether it was in use, huge, or the process died in between.

An inode that loses its last name gets an ORPHAN row in the same synchronous step. The row goes only when the data is given
back; so whatever a commit catches, the next owner of the pool finds what is left to do.
"""

import logging
from typing import TYPE_CHECKING

import trio

from odxfs.errors import VolumeError
from odxfs.types import InodeNumber
from odxfs.volume.catalog.interface import Table
from odxfs.volume.tree.inodes import Inode, InodeCache

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

_LOG = logging.getLogger(__name__)

_AT_ONCE_BLOCKS = 65_536
"""Files up to 256 MiB are given back before unlink or release returns; larger ones by the reaper."""

_XATTR_ROWS = 256
_STREAM_ROWS = 64


class Orphans:
    """Deletes inodes that have neither a name nor a user."""

    def __init__(self, pool: "Pool", cache: InodeCache) -> None:
        self._pool = pool
        self._cache = cache
        self._queue_in, self._queue = trio.open_memory_channel[InodeNumber](float("inf"))
        self.waiting = 0
        """Inodes whose data is still to be given back by the reaper."""
        self._under_way = 0
        self._settled = trio.Event()

    def enter(self, inode: Inode) -> None:
        """The last name is gone; in the same step as its entry."""
        assert inode.nlink == 0
        self._pool.view.put(Table.ORPHAN, (inode.number,), ())

    def enter_forgotten(self, inode: Inode) -> None:
        """An inode has neither name nor user, and nobody saw it lose them: delete it."""
        self._pool.view.put(Table.ORPHAN, (inode.number,), ())
        self._give_to_reaper(inode.number)

    async def delete_if_unused(self, inode: Inode) -> None:
        """Delete an inode that nobody needs any more; without effect while it has a name or a user."""
        if inode.nlink > 0 or inode.holds > 0 or inode.gone:
            return
        self._cache.retire(inode)
        if not (inode.has_xattrs or inode.has_streams or self._pool.windows.has_data(inode)):
            self._drop_rows(inode)
            return
        self._pool.view.put(Table.INODE, (inode.number,), inode.row())
        if inode.allocated_blocks <= _AT_ONCE_BLOCKS:
            self._under_way += 1
            try:
                with trio.CancelScope(shield=True):  # half a deletion would wait for the next mount
                    has_data = self._pool.windows.has_data(inode)
                    await self._delete(inode.number, has_data=has_data, has_xattrs=inode.has_xattrs)
            finally:
                self._under_way -= 1
                self._note_end()
        else:
            self._give_to_reaper(inode.number)

    async def recover(self) -> int:
        """Give every orphan that the last owner left, and that no client may still come back for, to the reaper.

        Returns how many.
        """
        given = 0
        for (number,), _row in await self._pool.view.range(Table.ORPHAN, (0,), (2**63 - 1,)):
            assert isinstance(number, int)
            if not self._pool.persistent_opens.keeps(InodeNumber(number)):
                self._give_to_reaper(InodeNumber(number))
                given += 1
        return given

    @property
    def is_settled(self) -> bool:
        """Whether no deletion is under way."""
        return not (self._under_way or self.waiting)

    async def settle(self) -> None:
        """Wait until the deletions under way have ended: their space is about to come free."""
        while not self.is_settled:
            await self._settled.wait()

    async def reap(self) -> None:
        """Delete what is queued, one after the other, until cancelled. One task of the pool runs it."""
        async for number in self._queue:
            await self._delete(number)
            self.waiting -= 1
            self._note_end()

    def _give_to_reaper(self, number: InodeNumber) -> None:
        self.waiting += 1
        self._queue_in.send_nowait(number)

    def _note_end(self) -> None:
        if self.is_settled:
            self._settled.set()
            self._settled = trio.Event()

    async def _delete(self, number: InodeNumber, *, has_data: bool = True, has_xattrs: bool = True) -> None:
        try:
            row = await self._pool.view.get(Table.INODE, (number,))
            if has_data:
                await self._pool.data.discard(number)
            if has_xattrs:
                await self._delete_xattrs(number)
            await self._delete_streams(number)
        except VolumeError as error:
            # The ORPHAN row stays: nothing is lost but the space, until the pool is opened again or checked.
            _LOG.error("the data of deleted inode %d cannot be given back yet: %s", number, error)
            return
        if row is None:
            self._pool.view.delete(Table.ORPHAN, (number,))
        else:
            self._drop_rows(Inode(number, row))

    def _drop_rows(self, inode: Inode) -> None:
        """The inode has nothing more to give back."""
        self._pool.windows.allocated_blocks[inode.volume] -= inode.allocated_blocks
        self._pool.view.delete(Table.INODE, (inode.number,))
        self._pool.view.delete(Table.ORPHAN, (inode.number,))

    async def _delete_streams(self, number: InodeNumber) -> None:
        view, streams = self._pool.view, self._pool.namespace.stream_changes
        while rows := await view.range(Table.STREAM, (number,), (number + 1,), _STREAM_ROWS):
            for key, row in rows:
                await streams.drop(key, row)

    async def _delete_xattrs(self, number: InodeNumber) -> None:
        view = self._pool.view
        while rows := await view.range(Table.XATTR, (number,), (number + 1,), _XATTR_ROWS):
            for key, _row in rows:
                view.delete(Table.XATTR, key)
