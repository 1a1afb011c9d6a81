"""Giving back what a deleted volume held, while the pool goes on; its row goes last, so a crash leaves a shorter rest."""

from typing import TYPE_CHECKING

import trio

from odxfs.types import VolumeId
from odxfs.volume.background_queue import BackgroundQueue
from odxfs.volume.catalog.interface import PAST, Table, inodes_of, successor

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

_ROWS = 64
"""Rows given back before other tasks get their turn; those of extent maps take 4 KiB each."""


class VolumeDeletion(BackgroundQueue[VolumeId]):
    """Deletes one volume after the other that is marked as unusable."""

    def __init__(self, pool: "Pool") -> None:
        super().__init__(self._delete, "deleting volume")
        self._pool = pool

    async def _delete(self, volume: VolumeId) -> None:
        pool, (low, high) = self._pool, inodes_of(volume)
        await pool.namespace.orphans.settle()  # its nameless inodes are being deleted one by one
        await pool.snapshots.deletion.settle()  # the row of a snapshot names its volume until it goes
        for table in PAST:
            at = low
            while rows := await pool.view.range(table, at, high, _ROWS):
                for key, row in rows:
                    pool.view.delete(table, key)
                    if table is Table.EXTENTS:
                        number, page = key
                        assert isinstance(number, int)
                        assert isinstance(page, int)
                        pool.windows.let_go_page(number, page, row)
                at = successor(rows[-1][0])
                pool.committer.note_freed()
                await trio.lowlevel.checkpoint()
        pool.namespace.drop_volume(volume)
